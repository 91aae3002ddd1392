"""Traces of real traffic, for tokenbench."""
