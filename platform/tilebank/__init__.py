"""Tilebank: a distributed feature store for multiple-instance learning on mammograms."""
