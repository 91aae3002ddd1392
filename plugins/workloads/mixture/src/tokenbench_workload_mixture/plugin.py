"""Registers the workload `mixture`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from tokenbench.api import (
    FrozenMap,
    PluginContext,
    Workload,
    WorkloadPart,
    WorkloadSpec,
    hookimpl,
    option,
    options,
)

_KEYS = {"workload", "options", "share", "model"}


@attrs.frozen(kw_only=True)
class Part:
    """One part. `name` becomes the label of its turns; `share` counts sessions."""

    name: str
    workload: str
    options: FrozenMap[Any]
    share: float
    model: str | None


@options
class MixtureOptions:
    """Options of the workload."""

    parts: FrozenMap[Any] = option(
        help="for each class of traffic its workload, options, share of the sessions and, for "
        'example for a LoRA adapter, model: {"chat": {"workload": "random", "options": '
        '{"input_tokens": 512}, "share": 3}, "code": {"workload": "prefix", "share": 1}}',
    )

    def __attrs_post_init__(self) -> None:
        parts_of(self)


def parts_of(options: MixtureOptions) -> tuple[Part, ...]:
    """The parts, in the order given.

    Raises:
        ValueError: there are no parts, or one is not valid.
    """
    found = []
    for name, value in options.parts.items():
        where = f"parts.{name}"
        if not isinstance(value, Mapping) or "workload" not in value:
            raise ValueError(f"{where}: expected a mapping with a workload, got {value!r}")
        if unknown := set(value) - _KEYS:
            raise ValueError(
                f"{where}.{min(unknown)}: unknown; expected {', '.join(sorted(_KEYS))}"
            )
        share = value.get("share", 1)
        if isinstance(share, bool) or not isinstance(share, int | float) or not share > 0:
            raise ValueError(f"{where}.share: expected more than 0, got {share!r}")
        own = value.get("options", {})
        if not isinstance(own, Mapping):
            raise ValueError(f"{where}.options: expected a mapping, got {own!r}")
        found.append(
            Part(
                name=name,
                workload=str(value["workload"]),
                options=FrozenMap(own),
                share=float(share),
                model=value.get("model"),
            )
        )
    if not found:
        raise ValueError("parts: expected at least one")
    return tuple(found)


def _parts(options: MixtureOptions) -> Sequence[WorkloadPart]:
    return [WorkloadPart(name=part.workload, options=part.options) for part in parts_of(options)]


def _make(options: MixtureOptions, context: PluginContext) -> Workload:
    from .workload import MixtureWorkload

    return MixtureWorkload(parts_of(options), context.parts)


@hookimpl
def bench_register_workloads() -> Sequence[WorkloadSpec]:
    """The workload."""
    return [
        WorkloadSpec(
            name="mixture",
            summary="several workloads in one run, each with its share and its objectives",
            options=MixtureOptions,
            factory=_make,
            parts=_parts,
            multi_turn=True,
        )
    ]
