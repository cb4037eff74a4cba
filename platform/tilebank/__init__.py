"""Tilebank: a distributed feature store for multiple-instance learning on mammograms. Imports nothing by itself."""

__version__ = "0.1.0"
