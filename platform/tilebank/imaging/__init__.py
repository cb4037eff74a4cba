"""From an image file to pixels, a breast mask and tiles, and from tile values back to a map."""
