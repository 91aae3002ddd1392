"""What `bench run` and `bench plan` share: a suite from a file or from flags, and its plan."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from tokenbench.api.errors import UsageError
from tokenbench.suite.limits import MOST_DEGREE

if TYPE_CHECKING:
    from tokenbench.plan.plan import Plan
    from tokenbench.plugins.instances import PluginInstances
    from tokenbench.suite.schema import FindRequest, LoadRequest, Suite


_LOAD_FLAGS = {
    "concurrency": "concurrency",
    "rate": "rate",
    "arrival": "arrival",
    "burstiness": "burstiness",
    "trace": "trace",
    "slo": "slo",
    "find": "find",
    "lowest": "find.lowest",
    "highest": "find.highest",
    "repeats": "repeats",
    "duration": "duration_s",
    "requests": "requests",
}
"""What was asked for by flag, and the key of `load` behind it."""
_SPELT = {"lowest": "--from", "highest": "--to"}


def suite_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The arguments that name what to measure; the command gets them as one `asked` mapping."""
    names: list[str] = []

    def add(*args: Any, **kwargs: Any) -> Callable[[Any], Any]:
        names.append(next(a for a in args if not a.startswith("-")))
        return click.option(*args, **kwargs)

    decorators = [
        click.argument("suite", required=False, type=click.Path(path_type=Path)),
        add("--engine", "engine", multiple=True, metavar="NAME[:key=value,...]",
            help="Engine; repeat to compare several."),
        add("--model", "model", multiple=True, metavar="NAME", help="Model; repeat for several."),
        add("--precision", "precision", metavar="NAME", help="Precision of the weights."),
        add("--hardware", "hardware", metavar="NAME[:...]", help="Hardware (default: cpu)."),
        add("--launcher", "launcher", metavar="NAME[:...]",
            help="Where processes run (default: local)."),
        add("--tp", "tp", type=click.IntRange(1, MOST_DEGREE), help="Tensor parallel degree."),
        add("--port", "port", type=click.IntRange(1, 65535), help="Port of the server."),
        add("--workload", "workload", multiple=True, metavar="NAME[:...]",
            help="Workload; repeat for several."),
        add("--concurrency", "concurrency", metavar="N,N,...", help="Closed-loop load levels."),
        add("--rate", "rate", metavar="R,R,...", help="Open-loop levels, arrivals a second."),
        add("--arrival", "arrival", metavar="NAME",
            help="constant, poisson (default), gamma, ramp or replay."),
        add("--burstiness", "burstiness", type=float, help="Shape of gamma arrivals."),
        add("--trace", "trace", metavar="FILE", help="Time stamps to replay."),
        add("--slo", "slo", metavar="ttft_p99<200ms,...",
            help="Objectives, for goodput and --find."),
        add("--find", "find", type=click.Choice(["max-rate", "max-concurrency"]),
            help="Find the largest load that holds the objectives."),
        add("--from", "lowest", type=float, help="Where --find begins."),
        add("--to", "highest", type=float, help="Where --find ends at the latest."),
        add("--repeats", "repeats", type=int, help="Repeats of each point."),
        add("--duration", "duration", type=float, metavar="SECONDS", help="Length of a repeat."),
        add("--requests", "requests", type=int, help="Requests of a repeat."),
        add("--eval", "eval", multiple=True, metavar="NAME[:...]", help="Accuracy task."),
        add("--reporter", "reporter", multiple=True, metavar="NAME[:...]", help="Report to make."),
        add("--use", "use", multiple=True, metavar="NAME",
            help="Amendment or observer plugin to use."),
        add("--seed", "seed", type=int, help="Base seed of all prompts."),
        add("--name", "name", metavar="NAME", help="Name of the run."),
    ]  # fmt: skip

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        asked = {name: kwargs.pop(name) for name in ("suite", *names)}
        return command(*args, asked=asked, **kwargs)

    result: Callable[..., Any] = wrapped
    for decorate in reversed(decorators):
        result = decorate(result)
    return result


def read_request(asked: dict[str, Any]) -> Suite:
    """The suite of a file with the flags laid over it, or of the flags alone."""
    from tokenbench.suite.load_rules import check_load
    from tokenbench.suite.structure import load_suite

    flags = {
        key: _SPELT.get(name, f"--{name}")
        for name, key in _LOAD_FLAGS.items()
        if asked[name] is not None
    }
    if asked["suite"] is None:
        suite = _overlay(_from_flags(asked), asked, flags)
        check_load(suite.load, where=lambda key: flags.get(key, f"load.{key}"), given=flags)
        return suite
    for flag in ("engine", "model", "precision", "hardware", "launcher", "tp", "port"):
        if asked[flag] not in (None, ()):
            raise UsageError(
                f"--{flag} cannot be combined with a suite file",
                hint="change the suite, or give flags alone",
            )
    return load_suite(asked["suite"], lambda suite: _overlay(suite, asked, flags), flags)


def _from_flags(asked: dict[str, Any]) -> Suite:
    from tokenbench.api import Topology
    from tokenbench.suite.plugin_ref import parse_plugin_ref
    from tokenbench.suite.schema import DeploymentRequest, PluginRef, Suite

    if not asked["engine"]:
        raise UsageError(
            "nothing to run: neither a suite nor --engine was given",
            hint="bench run suite.yaml, or bench run --engine NAME --model NAME",
        )
    hardware, launcher = asked["hardware"], asked["launcher"]
    deployments = tuple(
        DeploymentRequest(
            engine=parse_plugin_ref(engine, where="--engine"),
            model=model,
            precision=asked["precision"],
            hardware=parse_plugin_ref(hardware, where="--hardware")
            if hardware is not None
            else PluginRef("cpu"),
            launcher=parse_plugin_ref(launcher, where="--launcher")
            if launcher is not None
            else PluginRef("local"),
            topology=Topology(tp=asked["tp"] or 1),
            port=asked["port"],
        )
        for engine, model in itertools.product(asked["engine"], asked["model"] or (None,))
    )
    return Suite(deployments=deployments)


def _overlay(suite: Suite, asked: dict[str, Any], flags: dict[str, str]) -> Suite:
    from tokenbench.suite.plugin_ref import parse_plugin_ref

    def choices(flag: str) -> tuple[Any, ...]:
        return tuple(parse_plugin_ref(text, where=f"--{flag}") for text in asked[flag])

    changes: dict[str, Any] = {
        "workloads": choices("workload"),
        "evals": choices("eval"),
        "reporters": choices("reporter"),
        "use": asked["use"],
        "name": asked["name"],
    }
    try:
        overlaid = attrs.evolve(suite.load, **_load_changes(suite.load, asked))
    except ValueError as error:
        key, colon, rest = str(error).partition(":")
        place = flags.get(key) or flags.get(f"find.{key}") or key
        raise UsageError(f"{place}{colon}{rest}", hint=_load_hint(rest)) from None
    kept = {key: value for key, value in changes.items() if value}
    if asked["seed"] is not None:
        kept["seed"] = asked["seed"]
    return attrs.evolve(suite, load=overlaid, **kept)


def _load_hint(message: str) -> str:
    if "at most" in message:
        return "docs/reference/suite.md says what the most is, and why"
    return "see `bench run --help`"


def _load_changes(load: LoadRequest, asked: dict[str, Any]) -> dict[str, Any]:
    """The keys of `load` that flags set. `--arrival` replaces the process with its parameters: what
    another process had in the suite goes.
    """
    changes: dict[str, Any] = {
        key: asked[name]
        for name, key in _LOAD_FLAGS.items()
        if asked[name] is not None and "." not in key
    }
    if asked["trace"] is not None:
        changes.setdefault("arrival", "replay")
    if "arrival" in changes:
        process = {"burstiness": "gamma", "ramp_from": "ramp", "trace": "replay"}
        defaults = attrs.fields_dict(type(load))
        for key, its in process.items():
            if its != changes["arrival"]:
                changes.setdefault(key, defaults[key].default)
    if "concurrency" in changes:
        changes["concurrency"] = _levels(asked["concurrency"], "--concurrency", int)
    if "rate" in changes:
        changes["rate"] = _levels(asked["rate"], "--rate", float)
    changes.update(_find_change(load.find, asked))
    return changes


def _find_change(find: FindRequest | None, asked: dict[str, Any]) -> dict[str, Any]:
    """The search that is asked for; the ends that a suite gives hold for its own kind of load."""
    from tokenbench.suite.schema import FindRequest

    limits = {name: asked[name] for name in ("lowest", "highest") if asked[name] is not None}
    what = asked["find"] or (None if find is None else find.what)
    if what is None:
        if limits:
            raise UsageError(
                f"{_SPELT[next(iter(limits))]}: there is no search that it could be an end of",
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


def plan_request(asked: dict[str, Any], without: tuple[str, ...]) -> tuple[Plan, PluginInstances]:
    """The plan of what was asked for, and the plugins behind it."""
    from tokenbench.plan.planner import make_plan
    from tokenbench.plan.probe import prober
    from tokenbench.plugins.instances import PluginInstances
    from tokenbench.plugins.registry import PluginRegistry

    suite = read_request(asked)
    plugins = PluginInstances(PluginRegistry(without=without))
    return make_plan(suite, plugins, prober(plugins)), plugins
