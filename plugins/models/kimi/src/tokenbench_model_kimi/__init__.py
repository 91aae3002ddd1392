"""Kimi models as tokenbench models."""
