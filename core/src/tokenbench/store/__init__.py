"""The run directory: layout, schemas, and writes that survive a crash."""
