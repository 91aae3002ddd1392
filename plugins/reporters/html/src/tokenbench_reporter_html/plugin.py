"""Registers the reporter `html`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import PluginContext, Reporter, ReporterSpec, hookimpl, option, options


@options
class HtmlOptions:
    """Options of the reporter."""

    file: str = option(default="report.html", help="file name in the run's reports folder")
    title: str = option(default="", help="heading of the page; default: the names of the runs")


def _make(options: HtmlOptions, context: PluginContext) -> Reporter:
    from .page import HtmlReporter

    return HtmlReporter(file=options.file, title=options.title)


@hookimpl
def bench_register_reporters() -> Sequence[ReporterSpec]:
    """The reporter."""
    return [
        ReporterSpec(
            name="html",
            summary="one interactive page: charts, costs, a calculator, a table",
            options=HtmlOptions,
            factory=_make,
            economics=True,
        )
    ]
