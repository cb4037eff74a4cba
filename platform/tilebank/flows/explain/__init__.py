"""Show where a head looks, and whether its map drives the score."""
