"""Boxes from maps, and how well they find annotated boxes."""
