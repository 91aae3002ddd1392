"""Tool calls for generated schemas, as a tokenbench eval."""
