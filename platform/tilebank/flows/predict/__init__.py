"""Scores for stored breasts, or for a folder of DICOMs."""
