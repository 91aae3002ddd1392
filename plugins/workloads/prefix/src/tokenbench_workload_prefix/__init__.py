"""Prompts that share prefixes in groups, for tokenbench."""
