"""Timings of heads being fitted, and which heads keep the assumption of multiple-instance learning."""
