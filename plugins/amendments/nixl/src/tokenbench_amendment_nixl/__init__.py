"""NIXL for tokenbench."""
