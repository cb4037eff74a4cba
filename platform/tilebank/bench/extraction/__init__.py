"""Timings of reading, encoding and whole extractions of a phantom study."""
