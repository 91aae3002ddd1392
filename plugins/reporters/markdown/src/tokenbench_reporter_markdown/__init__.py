"""Markdown summaries for tokenbench."""
