"""The evals of a deployment: their thresholds, and the servers that answer them."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from tokenbench.api import (
    AccuracyThreshold,
    EngineRequest,
    EvalNeeds,
    LaunchPlan,
    ModelSpec,
    PluginError,
    UsageError,
    Weights,
)
from tokenbench.plugins.instances import PluginInstances
from tokenbench.suite.schema import DeploymentRequest, PluginRef

from .numbering import Numbering
from .plan import EvalTwin, PlannedEval
from .resolve import ResolvedSuite


def plan_evals(
    resolved: ResolvedSuite,
    asked: DeploymentRequest,
    plugins: PluginInstances,
    model: ModelSpec | None,
    weights: Weights | None,
    request: EngineRequest,
    launch: LaunchPlan,
    start: Callable[[EngineRequest], LaunchPlan],
) -> tuple[PlannedEval, ...]:
    """Evals, then gates.

    Args:
        start: plans another request with the same layers of settings.

    Raises:
        UsageError: a gate has no threshold, or no server of this deployment can answer an eval.
        PluginError: a plugin failed.
    """
    suite, taken = resolved.suite, Numbering()
    found = []
    for key in ("evals", "gates"):
        for index, ref in enumerate(getattr(suite, key)):
            threshold = _threshold(
                suite.accuracy.minimum.get(ref.name), model, weights, ref, plugins
            )
            place = resolved.places(f"{key}[{index}]")
            gate = key == "gates"
            if gate and threshold is None:
                raise UsageError(
                    f"{place}: the gate {ref.name!r} has no threshold for the model "
                    f"{request.model!r}",
                    hint=f"give one, for example --minimum {ref.name}=0.5, or ask for its score: "
                    f"--eval {ref.name}",
                )
            needs = _needs(ref, plugins)
            with resolved.places.told(f"{key}[{index}]"):
                twin = _twin(asked, plugins, request, launch, ref, needs, start)
            found.append(
                PlannedEval(
                    name=taken.name(ref.name), ref=ref, threshold=threshold, twin=twin, gate=gate
                )
            )
    return tuple(found)


def _needs(ref: PluginRef, plugins: PluginInstances) -> EvalNeeds:
    """What an eval needs of a server. Checks that its codec exists."""
    needs = plugins.evaluation(ref).needs()
    plugins.codec(needs.codec)
    return needs


def _threshold(
    given: float | None,
    model: ModelSpec | None,
    weights: Weights | None,
    ref: PluginRef,
    plugins: PluginInstances,
) -> AccuracyThreshold | None:
    """The user's, else the model's for these weights, else the model's, else the eval's own."""
    known = [t for t in (model.thresholds if model else ()) if t.eval == ref.name]
    own = [t for t in plugins.spec("eval", ref.key).thresholds if t.eval == ref.name]
    fitting = [
        threshold
        for threshold in (*known, *own)
        if threshold.precision is None or (weights and threshold.precision == weights.precision)
    ]
    # A stable sort: the model's come before the eval's.
    fitting.sort(key=lambda threshold: threshold.precision is None)
    found = fitting[0] if fitting else None
    if given is not None:
        asked = AccuracyThreshold(eval=ref.name, minimum=given, source="the suite", date="")
        if found is None:
            return asked
        return attrs.evolve(asked, baseline=found.baseline, baseline_source=found.baseline_source)
    if found is not None and not 0 <= found.minimum <= 1:
        raise PluginError(
            f"the model {model.name if model else 'unknown'!r} has a threshold of "
            f"{found.minimum:g} for the eval {ref.name!r}; scores are between 0 and 1",
            hint="report it to the plugin's author",
        )
    return found


def _twin(
    asked: DeploymentRequest,
    plugins: PluginInstances,
    request: EngineRequest,
    measured: LaunchPlan,
    ref: PluginRef,
    needs: EvalNeeds,
    start: Callable[[EngineRequest], LaunchPlan],
) -> EvalTwin | None:
    """A second server for an eval whose needs the measured one does not meet, or None.

    Raises:
        UsageError: the acceptance of drafts is simulated, and the suite fixes it.
    """
    settings: list[str] = []
    wanted = request.needs
    have = wanted.context_tokens
    if needs.context_tokens is not None and have is not None and needs.context_tokens > have:
        settings.append(f"context_tokens: {have} -> {needs.context_tokens}")
        wanted = attrs.evolve(wanted, context_tokens=needs.context_tokens)
    if needs.logprobs and not wanted.logprobs:
        settings.append("logprobs: off -> on")
        wanted = attrs.evolve(wanted, logprobs=True)
    simulated = needs.real_acceptance and simulates(measured, asked, plugins)
    if simulated:
        settings.append("acceptance of drafts: simulated -> real")
        wanted = attrs.evolve(wanted, real_acceptance=True)
    if not settings:
        return None
    other = attrs.evolve(request, needs=wanted)
    launch = start(other)
    if simulated and simulates(launch, asked, plugins):
        raise UsageError(
            f"the eval {ref.name!r} cannot be asked: the server simulates the acceptance of drafts",
            hint="its answers are not the model's; remove the flag or variable that does so, or "
            "leave out the eval",
        )
    if not launch.processes or launch == measured:
        # A server that is already up cannot be started a second time; the eval uses it as it is.
        # The same plan gives the same server: the suite or a recipe fixes what the need would set.
        return None
    return EvalTwin(
        launch=launch,
        request=attrs.evolve(other, served_name=launch.served_name or other.served_name),
        settings=tuple(settings),
    )


def simulates(plan: LaunchPlan, asked: DeploymentRequest, plugins: PluginInstances) -> bool:
    """Whether the engine, or one whose workers it runs, simulates the acceptance of drafts."""
    wrapped = (PluginRef.of(name) for name in dict.fromkeys(plan.wraps.values()))
    engines = map(plugins.engine, (asked.engine, *wrapped))
    return any(engine.synthetic_acceptance(plan) for engine in engines)
