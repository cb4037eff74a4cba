"""Features in from other tools, and out to them."""
