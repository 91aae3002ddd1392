"""GSM8K through lm-evaluation-harness, as a tokenbench eval."""
