"""GPQA from the user's file, as a tokenbench eval."""
