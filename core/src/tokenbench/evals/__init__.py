"""Accuracy evals: run in a process of their own, so that no heavy import meets a measurement."""
