"""Tilebank: a distributed feature store for multiple-instance learning on mammograms."""

__version__ = "0.1.0"
