"""Finding, checking, loading and listing plugins. A broken one is a row, not a crash."""
