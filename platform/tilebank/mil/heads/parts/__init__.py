"""Layers and poolings that several heads share."""
