"""Evaluate scores: metrics, patient bootstrap, calibration, detection, reports and plots."""
