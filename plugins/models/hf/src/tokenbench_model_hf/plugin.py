"""Registers the model `hf`; the folder is read when the model is first used."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import ModelSpec, PluginContext, hookimpl, option, options

_EXTRA = "folder or hub id (ORG/NAME) of "


@options
class HfOptions:
    """`path` or `id`; extra weights are folders or hub ids."""

    path: str | None = option(default=None, help="folder with the model's config.json")
    id: str | None = option(
        default=None,
        help="repository on the hub (ORG/NAME), read from the local cache if it is there",
    )
    revision: str | None = option(
        default=None, help="branch, tag or commit of the repository (default: main)"
    )
    draft: str | None = option(default=None, help=_EXTRA + "a draft model, for engines as `draft`")
    eagle: str | None = option(default=None, help=_EXTRA + "an EAGLE head, for engines as `eagle`")
    mtp: str | None = option(default=None, help=_EXTRA + "an MTP head, for engines as `mtp`")
    adapter: str | None = option(
        default=None, help=_EXTRA + "a LoRA adapter, for engines as `adapter`"
    )


def _make(options: HfOptions, context: PluginContext) -> ModelSpec:
    from .model import make_model

    return make_model(options)


@hookimpl
def bench_register_models() -> Sequence[ModelSpec]:
    """A model that is described by its own files."""
    return [
        ModelSpec(
            name="hf",
            summary="any Hugging Face folder or hub id",
            options=HfOptions,
            factory=_make,
        )
    ]
