"""The host CPU as tokenbench hardware."""
