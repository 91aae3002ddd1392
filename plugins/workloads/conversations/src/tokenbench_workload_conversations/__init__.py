"""Recorded conversations, for tokenbench."""
