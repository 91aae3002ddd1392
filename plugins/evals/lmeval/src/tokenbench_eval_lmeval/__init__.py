"""Tasks of lm-evaluation-harness as tokenbench evals."""
