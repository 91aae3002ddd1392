"""Qwen models as tokenbench models."""
