"""Boxes from attention maps, and how well they find annotated boxes."""
