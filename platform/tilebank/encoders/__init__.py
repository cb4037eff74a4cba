"""Frozen encoders: image -> vector. One settings record, one loader a library; needs torch, transformers, numpy."""
