"""Ragged bags: a split as tensors, and reductions over its segments."""
