"""Registers the reporter `markdown`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import PluginContext, Reporter, ReporterSpec, hookimpl, option, options


@options
class MarkdownOptions:
    """Options of the reporter."""

    output: str = option(
        default="summary.md", help="name of the file in the report folder; - prints the summary"
    )
    title: str = option(default="Benchmark results", help="heading of the summary")
    all: bool = option(
        default=False, help="also show points whose measurement is invalid or whose accuracy failed"
    )


def _make(options: MarkdownOptions, context: PluginContext) -> Reporter:
    from .markdown import MarkdownReporter

    return MarkdownReporter(options.output, options.title, show_all=options.all)


@hookimpl
def bench_register_reporters() -> Sequence[ReporterSpec]:
    """The reporter."""
    return [
        ReporterSpec(
            name="markdown",
            summary="a Markdown summary for pull requests and job summaries",
            options=MarkdownOptions,
            factory=_make,
            economics=True,
        )
    ]
