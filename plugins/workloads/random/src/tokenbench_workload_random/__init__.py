"""Random prompts of given lengths for tokenbench."""
