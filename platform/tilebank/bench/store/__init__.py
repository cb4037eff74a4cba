"""Timings of the LanceDB store."""
