"""How good are the scores: metrics, patient bootstrap, calibration, one report, figures.

Arrays in, numbers and figures out. Knows nothing of heads, tables, clusters or run records.
"""
