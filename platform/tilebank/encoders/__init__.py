"""Frozen encoders: image -> vector, on torch and transformers."""
