"""Attention maps over an image: from tile values to a picture."""
