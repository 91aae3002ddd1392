"""Shared by `bench run` and `bench plan`: from flags or a file to a suite, and to a plan."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from tokenbench.api.errors import UsageError

if TYPE_CHECKING:
    from tokenbench.plan.plan import Plan
    from tokenbench.plugins.instances import PluginInstances
    from tokenbench.suite.places import Places
    from tokenbench.suite.schema import (
        AccuracyRequest,
        FindRequest,
        LoadRequest,
        RepeatsRequest,
        Suite,
    )


_FLAGS = {
    "concurrency": "load.concurrency",
    "rate": "load.rate",
    "speed": "load.speed",
    "arrival": "load.arrival",
    "burstiness": "load.burstiness",
    "trace": "load.trace",
    "slo": "load.slo",
    "find": "load.find",
    "from": "load.find.lowest",
    "to": "load.find.highest",
    "repeats": "load.repeats",
    "precision": "load.repeats.precision",
    "duration": "load.duration_s",
    "requests": "load.requests",
    "sessions": "load.sessions",
    "lengths": "load.lengths",
    "load_workers": "load.workers",
    "workload": "workloads",
    "eval": "evals",
    "gate": "gates",
    "minimum": "accuracy.minimum",
    "gate_confidence": "accuracy.confidence",
    "no_canaries": "accuracy.canaries",
    "reporter": "reporters",
    "use": "use",
    "watch": "telemetry.watch",
    "name": "name",
    "seed": "seed",
    "engine": "deployments[0].engine",
    "model": "deployments[0].model",
    "weights": "deployments[0].weights",
    "hardware": "deployments[0].hardware",
    "launcher": "deployments[0].launcher",
    "tp": "deployments[0].topology.tp",
    "dp": "deployments[0].topology.dp",
    "ep": "deployments[0].topology.ep",
    "devices": "deployments[0].devices",
    "port": "deployments[0].port",
}
"""Each flag (its parameter) that sets a key of the suite, and that key."""
_ALONE = (
    *("engine", "model", "weights", "hardware", "launcher"),
    *("tp", "dp", "ep", "devices", "port"),
)
"""Flags that cannot be combined with a suite file."""


def suite_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The arguments that name what to measure. The command gets them as one mapping, `asked`."""
    names: list[str] = []

    def add(*args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        names.append(args[0].removeprefix("--").replace("-", "_"))
        return click.option(args[0], names[-1], **kwargs)

    decorators = _options(add)

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        asked = {name: kwargs.pop(name) for name in ("suite", *names)}
        return command(*args, asked=asked, **kwargs)

    result: Callable[..., Any] = wrapped
    for decorate in reversed(decorators):
        result = decorate(result)
    return result


def _options(add: Callable[..., Any]) -> list[Callable[[Any], Any]]:
    """The argument and all options, in the order of the help."""
    return [
        click.argument("suite", required=False, type=click.Path(path_type=Path)),
        add("--engine", multiple=True, metavar="NAME[:key=value,...]",
            help="Engine; repeat to compare several."),
        add("--model", multiple=True, metavar="NAME[:...]", help="Model; repeat for several."),
        add("--weights", metavar="PRECISION", help="Precision of the weights, for example fp8."),
        add("--hardware", metavar="NAME[:...]|SKU[:N]",
            help="Hardware (default: cpu): a plugin, which finds the devices of this machine, or "
            "SKU:N from the catalogue."),
        add("--launcher", metavar="NAME[:...]",
            help="Where processes run (default: local)."),
        add("--tp", type=int, help="Tensor parallel degree."),
        add("--dp", type=int, help="Data parallel degree."),
        add("--ep", type=int, help="Expert parallel degree. Other degrees: topology in a suite."),
        add("--devices", metavar="N,N,...",
            help="Indices of the devices to use, as `bench doctor` shows them."),
        add("--port", type=int, help="Port of the server."),
        *_load_options(add),
        *_eval_options(add),
        add("--reporter", multiple=True, metavar="NAME[:...]",
            help="Reporter; repeat for several."),
        add("--use", multiple=True, metavar="NAME[:...]",
            help="Amendment or observer plugin to use."),
        add("--watch", multiple=True, metavar="NAME[:...]|none",
            help="Other hardware to sample (default: power meters of CPUs and host)."),
        add("--seed", type=int, help="Base seed of all prompts."),
        add("--name", metavar="NAME", help="Name of the run."),
    ]  # fmt: skip


def _load_options(add: Callable[..., Any]) -> list[Callable[[Any], Any]]:
    return [
        add("--workload", multiple=True, metavar="NAME[:...]",
            help="Workload; repeat for several."),
        add("--concurrency", metavar="N,N,...", help="Closed-loop load levels."),
        add("--rate", metavar="R,R,...", help="Open-loop load levels, arrivals per second."),
        add("--speed", metavar="X,X,...",
            help="Open-loop load levels: the arrival times of the workload, X times as fast."),
        add("--arrival", metavar="NAME", help="constant, poisson, gamma, ramp or replay."),
        add("--burstiness", type=float, help="Shape of gamma arrivals."),
        add("--trace", metavar="FILE", help="File of timestamps to replay."),
        add("--slo", metavar="ttft_p99<200ms,...",
            help="Objectives, for goodput and --find."),
        add("--find", type=click.Choice(["max-rate", "max-concurrency"]),
            help="Find the largest load that meets the objectives."),
        add("--from", type=float, help="Smallest load that --find tries."),
        add("--to", type=float, help="Largest load that --find tries."),
        add("--repeats", type=int, help="Repeats of each point; with --precision, the minimum."),
        add("--precision", metavar="5%",
            help="Repeat until the 95 % intervals of throughput and TPOT are within this of the "
            "mean."),
        add("--duration", type=float, metavar="SECONDS", help="Length of a repeat."),
        add("--requests", type=int, help="Requests of a repeat."),
        add("--sessions", type=int, help="Sessions of a repeat; all of them run to their end."),
        add("--lengths", type=click.Choice(["exact", "approximate"]),
            help="Whether prompts must have exactly the requested number of tokens."),
        add("--load-workers", metavar="auto|N",
            help="Load worker processes (default: auto)."),
    ]  # fmt: skip


def _eval_options(add: Callable[..., Any]) -> list[Callable[[Any], Any]]:
    return [
        add("--eval", multiple=True, metavar="NAME[:...]",
            help="Eval; all its questions are asked."),
        add("--gate", multiple=True, metavar="NAME[:...]",
            help="Eval that ends as soon as it passes or fails."),
        add("--minimum", multiple=True, metavar="NAME=SCORE",
            help="Threshold of an eval, instead of the model's."),
        add("--gate-confidence", metavar="95%",
            help="How certain a verdict must be to end a gate (default: 95%)."),
        add("--no-canaries", is_flag=True, default=None,
            help="Skip the requests that check the server before an eval."),
    ]  # fmt: skip


def read_request(asked: dict[str, Any]) -> tuple[Suite, Places]:
    """The suite of a file with flags, or of flags alone; and where each key was written."""
    from tokenbench.suite.places import Places
    from tokenbench.suite.structure import read_suite

    given = {flag for flag, value in asked.items() if value not in (None, ())}
    flags = {key: f"--{flag.replace('_', '-')}" for flag, key in _FLAGS.items() if flag in given}
    if asked["suite"] is None:
        places = Places(None, flags)
        return _overlay(_from_flags(asked), asked, places), places
    for flag in _ALONE:
        if flag in given:
            raise UsageError(
                f"--{flag} cannot be combined with a suite file",
                hint="set it in the suite, or use flags without a suite",
            )
    suite, document = read_suite(asked["suite"])
    places = Places(document, flags)
    return _overlay(suite, asked, places), places


def _from_flags(asked: dict[str, Any]) -> Suite:
    from tokenbench.api import Topology
    from tokenbench.suite.plugin_ref import parse_hardware_ref, parse_plugin_ref
    from tokenbench.suite.schema import DeploymentRequest, Suite

    if not asked["engine"]:
        raise UsageError(
            "nothing to run: neither a suite nor --engine was given",
            hint="bench run suite.yaml, or bench run --engine NAME --model NAME",
        )
    parsers = {"hardware": parse_hardware_ref, "launcher": parse_plugin_ref}
    refs: dict[str, Any] = {
        flag: parse(asked[flag], where=f"--{flag}")
        for flag, parse in parsers.items()
        if asked[flag] is not None
    }
    degrees = {axis: asked[axis] for axis in ("tp", "dp", "ep") if asked[axis] is not None}
    topology = Topology(**degrees)
    devices = () if asked["devices"] is None else _levels(asked["devices"], "--devices", int)
    return Suite(
        deployments=tuple(
            DeploymentRequest(
                engine=parse_plugin_ref(engine, where="--engine"),
                model=None if model is None else parse_plugin_ref(model, where="--model"),
                weights=asked["weights"],
                topology=topology,
                devices=devices,
                port=asked["port"],
                **refs,
            )
            for engine, model in itertools.product(asked["engine"], asked["model"] or (None,))
        )
    )


def _overlay(suite: Suite, asked: dict[str, Any], places: Places) -> Suite:
    """The suite with the keys that flags set."""
    from tokenbench.suite.plugin_ref import parse_plugin_ref

    changes: dict[str, Any] = {
        _FLAGS[flag]: tuple(parse_plugin_ref(text, where=f"--{flag}") for text in asked[flag])
        for flag in ("workload", "eval", "gate", "reporter", "use")
        if asked[flag]
    }
    changes |= {key: asked[key] for key in ("name", "seed") if asked[key] not in (None, ())}
    if asked["watch"]:
        names = () if asked["watch"] == ("none",) else asked["watch"]
        watch = tuple(parse_plugin_ref(text, where="--watch") for text in names)
        changes["telemetry"] = attrs.evolve(suite.telemetry, watch=watch)
    try:
        load = attrs.evolve(suite.load, **_load_changes(suite.load, asked))
        accuracy = attrs.evolve(suite.accuracy, **_accuracy_changes(suite.accuracy, asked))
        return attrs.evolve(suite, load=load, accuracy=accuracy, **changes)
    except ValueError as error:
        key, colon, rest = str(error).partition(":")
        key = {"at_least": "repeats", "at_most": "repeats"}.get(key, key)
        paths = (
            *(key, f"load.{key}", f"load.find.{key}", f"load.repeats.{key}"),
            f"accuracy.{key}",
        )
        place = next((places.flags[path] for path in paths if path in places.flags), key)
        path = click.get_current_context().command_path
        raise UsageError(f"{place}{colon}{rest}", hint=f"see `{path} --help`") from None


def _accuracy_changes(accuracy: AccuracyRequest, asked: dict[str, Any]) -> dict[str, Any]:
    """The keys of `accuracy` that flags set."""
    from tokenbench.api import FrozenMap
    from tokenbench.suite.structure import parse_share

    changes: dict[str, Any] = {}
    if asked["gate_confidence"] is not None:
        changes["confidence"] = parse_share(asked["gate_confidence"])
    if asked["no_canaries"]:
        changes["canaries"] = False
    if asked["minimum"]:
        minimum = dict(_minimum(text) for text in asked["minimum"])
        changes["minimum"] = FrozenMap({**accuracy.minimum, **minimum})
    return changes


def _minimum(text: str) -> tuple[str, float]:
    name, _, score = text.partition("=")
    try:
        return name, float(score)
    except ValueError:
        raise UsageError(
            f"--minimum: expected NAME=SCORE, got {text[:40]!r}",
            hint="for example --minimum NAME=0.5",
        ) from None


def _load_changes(load: LoadRequest, asked: dict[str, Any]) -> dict[str, Any]:
    """The keys of `load` that flags set. `--arrival` also resets the suite's parameters of other
    arrival processes.
    """
    changes: dict[str, Any] = {
        key.removeprefix("load."): asked[flag]
        for flag, key in _FLAGS.items()
        if key.startswith("load.") and key.count(".") == 1 and asked[flag] is not None
    }
    if asked["trace"] is not None:
        changes.setdefault("arrival", "replay")
    if "arrival" in changes:
        process = {"burstiness": "gamma", "ramp_from": "ramp", "trace": "replay"}
        defaults = attrs.fields_dict(type(load))
        for key, its in process.items():
            if its != changes["arrival"]:
                changes.setdefault(key, defaults[key].default)
    for key, kind in (("concurrency", int), ("rate", float), ("speed", float)):
        if key in changes:
            changes[key] = _levels(changes[key], f"--{key}", kind)
    if str(changes.get("workers", "auto")).isdecimal():
        changes["workers"] = int(changes["workers"])
    changes.pop("repeats", None)
    changes.update(_repeats_change(load.repeats, asked))
    changes.update(_find_change(load.find, asked))
    return changes


def _repeats_change(suite: RepeatsRequest | None, asked: dict[str, Any]) -> dict[str, Any]:
    """`--repeats` fixes their number; `--precision` adds repeats until it is reached."""
    from tokenbench.suite.schema import RepeatsRequest
    from tokenbench.suite.structure import parse_share

    repeats = suite or RepeatsRequest()
    count, precision = asked["repeats"], asked["precision"]
    if precision is not None:
        at_least = count or max(repeats.at_least, 3)
        return {
            "repeats": RepeatsRequest(
                at_least=at_least,
                at_most=max(repeats.at_most, at_least, 10),
                precision=parse_share(precision),
            )
        }
    if count is not None:
        return {"repeats": attrs.evolve(repeats, at_least=count, at_most=count)}
    return {}


def _find_change(find: FindRequest | None, asked: dict[str, Any]) -> dict[str, Any]:
    """The search. The suite's limits apply only to the suite's own kind of search."""
    from tokenbench.suite.schema import FindRequest

    flags = {"from": "lowest", "to": "highest"}
    limits = {key: asked[flag] for flag, key in flags.items() if asked[flag] is not None}
    what = asked["find"] or (None if find is None else find.what)
    if what is None:
        if limits:
            flag = next(flag for flag in flags if asked[flag] is not None)
            raise UsageError(
                f"--{flag} limits a search, but --find is not given",
                hint="add --find max-rate or --find max-concurrency, with --slo",
            )
        return {}
    if find is None:
        return {"find": FindRequest(what=what, **limits)}
    if find.what != what:
        return {"find": FindRequest(what=what, tolerance=find.tolerance, **limits)}
    return {"find": attrs.evolve(find, **limits)}


def _levels(text: str, flag: str, kind: type[Any]) -> tuple[Any, ...]:
    try:
        return tuple(kind(part) for part in text.split(","))
    except ValueError:
        raise UsageError(
            f"{flag}: expected numbers, got {text[:40]!r}", hint="for example 1,2,4,8"
        ) from None


def plan_request(
    asked: dict[str, Any],
    without: tuple[str, ...],
    *,
    drawn_seed: int | None = None,
    by_catalogue: bool = False,
) -> tuple[Plan, PluginInstances]:
    """The plan of the request, and its plugins.

    Args:
        drawn_seed: the seed of a run that is resumed; used if its suite has none.
        by_catalogue: accelerators of a SKU need not be on this machine.
    """
    from tokenbench.plan.planner import make_plan
    from tokenbench.plan.resolve import resolve
    from tokenbench.plugins.instances import PluginInstances
    from tokenbench.plugins.registry import PluginRegistry
    from tokenbench.store.calibration import concurrency_per_worker

    suite, places = read_request(asked)
    plugins = PluginInstances(PluginRegistry(without=without))
    resolved = resolve(suite, plugins, places, drawn_seed=drawn_seed)
    plan = make_plan(
        resolved,
        plugins,
        concurrency_per_worker=concurrency_per_worker(),
        by_catalogue=by_catalogue,
    )
    return plan, plugins
