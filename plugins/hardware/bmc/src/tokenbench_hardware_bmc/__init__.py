"""The power of the whole host, from its BMC, as tokenbench hardware."""
