"""A plugin that misspells a hook."""

from tokenbench.api import hookimpl


@hookimpl
def bench_register_engine():  # noqa: ANN201
    """Should be bench_register_engines."""
    return []
