"""The built-in encoder: 110 texture statistics a tile; needs no download."""
