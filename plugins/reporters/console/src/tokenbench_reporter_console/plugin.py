"""Registers the reporter `console`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import PluginContext, Reporter, ReporterSpec, hookimpl, option, options


@options
class ConsoleOptions:
    """Options of the reporter."""

    all: bool = option(
        default=False, help="also show points whose measurement is invalid or whose accuracy failed"
    )
    chart: bool = option(
        default=True,
        help="also draw throughput per accelerator against interactivity, if a series has 3 "
        "points and the terminal 70 columns",
    )
    composition: bool = option(
        default=True,
        help="also show the combined gain of precision, disaggregation, wide EP and speculation, "
        "if each was also measured alone",
    )


def _make(options: ConsoleOptions, context: PluginContext) -> Reporter:
    from .console import ConsoleReporter

    return ConsoleReporter(
        show_all=options.all, chart=options.chart, composition=options.composition
    )


@hookimpl
def bench_register_reporters() -> Sequence[ReporterSpec]:
    """The reporter."""
    return [
        ReporterSpec(
            name="console",
            summary="tables of load levels and a chart in the terminal",
            options=ConsoleOptions,
            factory=_make,
            economics=True,
        )
    ]
