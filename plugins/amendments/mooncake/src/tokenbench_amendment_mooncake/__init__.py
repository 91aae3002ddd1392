"""The Mooncake store for tokenbench."""
