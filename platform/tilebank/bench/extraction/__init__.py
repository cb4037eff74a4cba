"""Timings from a phantom's pixels to stored vectors."""
