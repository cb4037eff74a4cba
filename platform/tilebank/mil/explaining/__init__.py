"""Explain a fitted head: attention, contributions, scores with tiles removed."""
