"""Tables in the terminal for tokenbench."""
