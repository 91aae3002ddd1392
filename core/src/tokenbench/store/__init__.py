"""The run directory: what is where, in which schema, written so that a crash loses nothing."""
