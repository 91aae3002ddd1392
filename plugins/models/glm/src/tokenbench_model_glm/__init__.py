"""GLM models as tokenbench models."""
