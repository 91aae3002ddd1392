"""A small accuracy gate that runs anywhere, for tokenbench."""
