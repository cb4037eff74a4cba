"""One file a head, and the registry that builds, saves and loads them."""
