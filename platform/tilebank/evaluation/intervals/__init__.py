"""Confidence intervals and paired tests, by patient."""
