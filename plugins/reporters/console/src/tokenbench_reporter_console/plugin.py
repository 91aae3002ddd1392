"""Registers the reporter `console`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Reporter, ReporterSpec, hookimpl, option, options


@options
class ConsoleOptions:
    """Options of the reporter."""

    all: bool = option(
        default=False, help="also show points whose measurement is invalid or whose accuracy failed"
    )


def _make(options: ConsoleOptions) -> Reporter:
    from .console import ConsoleReporter

    return ConsoleReporter(show_all=options.all)


@hookimpl
def bench_register_reporters() -> Sequence[ReporterSpec]:
    """The reporter."""
    return [
        ReporterSpec(
            name="console",
            summary="a table of load levels in the terminal",
            options=ConsoleOptions,
            factory=_make,
        )
    ]
