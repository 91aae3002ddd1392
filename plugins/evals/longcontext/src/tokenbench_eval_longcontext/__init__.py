"""Retrieval from long generated prompts, as a tokenbench eval."""
