"""Matplotlib figures of the metrics."""
