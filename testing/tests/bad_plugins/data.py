"""Level 1: specs that are not plain data."""

from __future__ import annotations

import attrs

from tokenbench.api import ModelSpec, Weights
from tokenbench_testing.kit import Subject

_SPEC = ModelSpec(
    name="plain",
    summary="a model",
    weights=(
        Weights(precision="bf16", format="safetensors", source="hub:o/plain", revision="a1b2"),
    ),
)
_GOOD = Subject(kind="model", name="plain", module="bad_plugins.data", spec=_SPEC)

GOOD = [_GOOD]
BAD = {
    "name-is-plain": attrs.evolve(_GOOD, name="My Model"),
    "summary-is-one-line": attrs.evolve(_GOOD, spec=attrs.evolve(_SPEC, summary="Two\nlines.")),
    "spec-is-hashable": attrs.evolve(_GOOD, spec=attrs.evolve(_SPEC, recipes=[])),
}
ALSO: dict[str, set[str]] = {}
