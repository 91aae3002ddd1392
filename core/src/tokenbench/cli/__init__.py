"""The command line: thin commands over the other rooms, each imported when its command runs."""
