"""Matplotlib figures of what the metrics found."""
