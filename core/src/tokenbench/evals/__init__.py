"""Accuracy evals, in a separate process so that their imports do not disturb a measurement."""
