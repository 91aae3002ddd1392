"""For plugin authors and our own tests: a server that does what it is told."""
