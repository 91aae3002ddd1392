"""Plugins: discovery, checking, loading and listing. A broken plugin never stops a list."""
