"""A running server as a tokenbench engine."""
