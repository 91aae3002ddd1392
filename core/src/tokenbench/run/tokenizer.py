"""The tokenizer of a deployment's model."""

from __future__ import annotations

from tokenbench.api import Tokenizer
from tokenbench.guard.call import call
from tokenbench.guard.members import limited
from tokenbench.plan.plan import PlannedDeployment
from tokenbench.plugins.instances import PluginInstances

from .weights import locate


def tokenizer_of(
    deployment: PlannedDeployment, weights: str | None, plugins: PluginInstances
) -> Tokenizer | None:
    """The tokenizer that the engine's options name, otherwise the model's.

    Args:
        weights: local path of the weights, if the engine loads any.
    """
    named = plugins.engine(deployment.asked.engine).tokenizer()
    if named is not None:
        return named
    ref = deployment.asked.model
    model = plugins.model(ref) if ref is not None else None
    if ref is None or model is None or model.tokenizer is None:
        return None
    path = weights if weights is not None else next((locate(w) for w in model.weights), "")
    owner, make = plugins.owner("model", ref.key), model.tokenizer
    made = call(owner, "tokenizer()", "data", lambda: make(path), result=Tokenizer)
    return limited(made, Tokenizer, owner)  # type: ignore[type-abstract]
