"""Llama models as tokenbench models."""
