"""The model of a deployment: its weights for the engine, its parsers, its part of the identity."""

from __future__ import annotations

from typing import Any

from tokenbench.api import (
    EngineRequest,
    EngineSpec,
    LaunchPlan,
    ModelSpec,
    Parsers,
    UsageError,
    Weights,
)
from tokenbench.plugins.instances import PluginInstances
from tokenbench.suite.places import Places
from tokenbench.suite.schema import DeploymentRequest

from .launch_inputs import named_weights


def select_model(
    asked: DeploymentRequest,
    spec: EngineSpec,
    plugins: PluginInstances,
    path: str,
    places: Places,
) -> tuple[ModelSpec | None, Weights | None]:
    """The model, and those of its weights that the engine loads and the user asks for.

    Raises:
        UsageError: the engine needs a model, or the model has no such weights.
    """
    if asked.model is None:
        if spec.capabilities.weight_formats:
            installed = ", ".join(plugins.registry.names("model")) or "none"
            raise UsageError(
                f"{places(f'{path}.model')}: the engine {spec.name!r} needs a model",
                hint=f"add --model; installed: {installed}",
            )
        return None, None
    with places.told(f"{path}.model"):
        model = plugins.model(asked.model)
    if not spec.capabilities.weight_formats:
        return model, None
    declared = spec.capabilities
    fitting = [
        weights
        for weights in model.weights
        if weights.format in declared.weight_formats and asked.weights in (None, weights.precision)
    ]
    for weights in fitting:
        if weights.precision not in declared.lacks:
            return model, weights
    have = ", ".join(f"{w.precision} ({w.format})" for w in model.weights)
    why = f": {declared.lacks[fitting[0].precision]}" if fitting else ""
    raise UsageError(
        f"{places(f'{path}.weights' if asked.weights else f'{path}.model')}: "
        f"{model.name!r} has no weights"
        + (f" of precision {asked.weights!r}" if asked.weights else "")
        + f" that {spec.name!r} can load{why}",
        hint=f"it has: {have or 'none'}",
    )


def parsers_of(model: ModelSpec | None, engine: str) -> Parsers | None:
    """The model's parsers for an engine."""
    found = (parsers for parsers in model.parsers if parsers.engine == engine) if model else ()
    return next(iter(found), None)


def canonical_model(request: EngineRequest, launch: LaunchPlan) -> list[Any] | None:
    """Name, precision and revision of the weights; then those of each of the extra weights."""
    if request.weights is None:
        return None
    found: list[Any] = [request.model, request.weights.precision, request.weights.revision]
    for name in named_weights(launch):
        extra = request.weights_named(name)
        found.append([name, extra.precision, extra.revision])
    return found
