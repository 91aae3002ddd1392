"""Hosts reached by ssh, for tokenbench."""
