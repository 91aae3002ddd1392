"""MoRI for tokenbench."""
