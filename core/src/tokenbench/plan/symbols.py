"""Checks that a launch has a value for each symbol in the suite's settings."""

from __future__ import annotations

from collections.abc import Iterator

from tokenbench.api import LaunchPlan, ProcessSpec, UsageError
from tokenbench.launch.symbols import symbols
from tokenbench.suite.places import Places

from .canonical import canonical_json
from .resolve import ResolvedDeployment

_OF_A_LAUNCH = ("host", "hosts", "index", "rank", "weights", "cpus", "devices", "scratch", "shared")


def check_symbols(launch: LaunchPlan, deployment: ResolvedDeployment, places: Places) -> None:
    """Check the symbols in flags, variables and files of the suite. Symbols in settings of plugins
    are not checked.

    Raises:
        UsageError: a process has no value for one of them.
    """
    for process in launch.processes:
        known = {*_OF_A_LAUNCH, *_of_process(process), *_of_others(launch)}
        for path, text, secrets in _texts(process, deployment):
            for symbol in symbols(text):
                if symbol in known or symbol.startswith("weights:"):
                    continue
                if secrets and symbol.startswith("secret:"):
                    continue
                raise UsageError(
                    f"{places(f'{deployment.path}.{path}')}: the process {process.role!r} has no "
                    f"value for {{{symbol}}}",
                    hint=_hint(symbol, process),
                )


def _texts(process: ProcessSpec, deployment: ResolvedDeployment) -> Iterator[tuple[str, str, bool]]:
    """The place of a setting, its text, and whether secrets may be in it."""
    asked = deployment.request
    layers = [("", asked.flags, asked.environment)]
    for path, role, own in asked.settings_by_role():
        if role == process.role:
            layers.append((f"{path}.", own.flags, own.environment))
            for file, content in own.files.items():
                yield f"{path}.files.{file}", canonical_json(content), False
    for inside, flags, variables in layers:
        for flag, value in flags.items():
            name, found = process.grammar.canonical(flag, value)
            if process.flags.get(name) == found:
                yield f"{inside}flags.{flag}", canonical_json(value), False
        for name, text in variables.items():
            if process.environment.get(name) == text:
                yield f"{inside}environment.{name}", text, True


def _of_process(process: ProcessSpec) -> Iterator[str]:
    for prefix in ("", "leader."):
        yield f"{prefix}host"
        yield from (f"{prefix}port:{block.name}" for block in process.ports)
    yield from (f"ports:{block.name}" for block in process.ports)
    yield from (f"file:{file.name}" for file in process.files)


def _of_others(launch: LaunchPlan) -> Iterator[str]:
    for process in launch.processes:
        for place in ("beside", *(f"{process.role}.{n}" for n in range(process.replicas))):
            yield f"{place}.host"
            yield from (f"{place}.port:{block.name}" for block in process.ports)


def _hint(symbol: str, process: ProcessSpec) -> str:
    if symbol.startswith("secret:"):
        return "use secrets in environment variables only: other users can see the command line"
    ports = ", ".join(f"{{port:{block.name}}}" for block in process.ports)
    return f"its own symbols: {{host}}, {{index}}, {{rank}}{', ' if ports else ''}{ports}"
