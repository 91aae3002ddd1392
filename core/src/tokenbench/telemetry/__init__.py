"""Power and utilisation: a small agent on every host, its samples on disk."""
