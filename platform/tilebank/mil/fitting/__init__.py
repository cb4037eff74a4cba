"""Fit a pack of heads: batches, training loop, optimizer, early stopping."""
