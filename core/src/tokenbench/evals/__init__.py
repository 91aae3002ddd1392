"""Accuracy evals, in a separate process: their imports must not disturb a measurement."""
