"""SGLang's server as a tokenbench engine."""
