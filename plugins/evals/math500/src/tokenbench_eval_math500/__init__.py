"""MATH-500 through lm-evaluation-harness, as a tokenbench eval."""
