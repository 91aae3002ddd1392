"""Registers the reporter `files`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import PluginContext, Reporter, ReporterSpec, hookimpl, option, options


@options
class FilesOptions:
    """Options of the reporter."""

    formats: tuple[str, ...] = option(
        default=("json", "csv"),
        choices=("json", "csv", "parquet"),
        help="files to write, separated by /: json, csv, parquet",
    )
    describe: bool = option(
        default=False, help="also write columns.md: unit and meaning of every column"
    )


def _make(options: FilesOptions, context: PluginContext) -> Reporter:
    from .files import FilesReporter

    return FilesReporter(options.formats, describe=options.describe)


@hookimpl
def bench_register_reporters() -> Sequence[ReporterSpec]:
    """The reporter."""
    return [
        ReporterSpec(
            name="files",
            summary="results as JSON, CSV and Parquet files",
            options=FilesOptions,
            factory=_make,
            economics=True,
        )
    ]
