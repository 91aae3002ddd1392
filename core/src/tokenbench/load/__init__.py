"""The load generator: sessions in, stamped records out. It imports no plugin, no pyarrow."""

from . import built

COMPILED = built.use(__path__)
"""Whether what runs for every request is compiled here; see ``built.py``."""
