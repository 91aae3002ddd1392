"""Comparison of two runs: matched points, changes with intervals, verdicts. Pure functions."""
