"""A word server as a tokenbench engine."""
