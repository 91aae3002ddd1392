"""Registers the reporter `inferencex`."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import PluginContext, Reporter, ReporterSpec, hookimpl, option, options


@options
class InferenceXOptions:
    """Options of the reporter."""

    image: str | None = option(
        default=None, help="container image of the engine, if the run does not record it"
    )
    model_prefix: str | None = option(
        default=None, help="InferenceX's short name of the model, for models without a known one"
    )


def _make(options: InferenceXOptions, context: PluginContext) -> Reporter:
    from .aggregate import InferenceXReporter

    return InferenceXReporter(image=options.image, model_prefix=options.model_prefix)


@hookimpl
def bench_register_reporters() -> Sequence[ReporterSpec]:
    """The reporter."""
    return [
        ReporterSpec(
            name="inferencex",
            summary="results as the aggregate JSON of InferenceX",
            options=InferenceXOptions,
            factory=_make,
        )
    ]
