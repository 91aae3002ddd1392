"""Any Hugging Face folder or hub id as a tokenbench model."""
