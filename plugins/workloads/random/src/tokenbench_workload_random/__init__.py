"""Random prompts of asked lengths for tokenbench."""
