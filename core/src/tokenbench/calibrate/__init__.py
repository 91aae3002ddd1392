"""Measures the load generator against a reference server that records the ground truth."""
