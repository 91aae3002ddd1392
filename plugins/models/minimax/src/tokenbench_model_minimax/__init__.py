"""MiniMax models as tokenbench models."""
