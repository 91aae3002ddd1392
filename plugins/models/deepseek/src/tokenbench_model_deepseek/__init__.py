"""DeepSeek models as tokenbench models."""
