"""Timings of fitting heads, and tests of which heads rely on shortcuts."""
