"""Metrics with intervals, calibration, and the only reader of the test part."""
