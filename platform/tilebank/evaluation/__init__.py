"""Evaluate scores: metrics, patient bootstrap, calibration, detection, reports and plots.

Arrays in, numbers and figures out. Knows nothing of heads, tables, clusters or run records.
"""
