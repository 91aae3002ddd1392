"""vLLM's server as a tokenbench engine."""
