"""A server that is already up, as a tokenbench engine."""
