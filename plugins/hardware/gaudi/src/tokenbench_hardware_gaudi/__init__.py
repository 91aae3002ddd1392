"""Intel Gaudi as tokenbench hardware."""
