"""Hardware telemetry: an agent on every host writes samples to disk."""
