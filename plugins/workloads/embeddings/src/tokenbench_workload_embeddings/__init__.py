"""Texts to embed: requests whose answers have no tokens."""
