"""One interactive HTML page of tokenbench results."""
