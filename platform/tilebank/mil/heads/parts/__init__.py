"""Layers, poolings and base classes that several heads share."""
