"""gpt-oss models as tokenbench models."""
