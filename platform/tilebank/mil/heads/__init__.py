"""MIL heads, one module each, and the registry that builds, saves and loads them."""
