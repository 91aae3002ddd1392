"""Node programs: their files, and their results as values of the API."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
import msgspec

from tokenbench.api import FrozenMap, NodeProgram, PluginError, Probe, Sample
from tokenbench.guard.limits import limit_s
from tokenbench.guard.owner import Owner, too_slow, wrong

from .client import AgentError, AgentGone, AgentLate, Events, NodeAgent

T = TypeVar("T")
_GRACE_S = 5.0


class RunningProgram:
    """A node program on the host of an agent.

    Raises:
        PluginError: its files cannot be found here, or the agent is gone.
    """

    def __init__(self, agent: NodeAgent, owner: Owner, program: NodeProgram) -> None:
        self.owner = owner
        self._agent = agent
        self._name = f"{owner.distribution}/{owner.name}"
        self._call = {
            "module": program.module.rpartition(".")[2],
            "options": dict(program.options),
        }
        files = files_of(owner, program.module)
        if not agent.is_here:
            for binding in program.bindings:
                if importlib.util.find_spec(binding) is not None:
                    files |= files_of(owner, binding)
        self._asked("program()", lambda: agent.ask("program", name=self._name, files=files))

    def probe(self) -> Probe:
        """The devices of the host.

        Raises:
            PluginError: it failed, was too slow, or returned something else.
        """
        limit = limit_s("device")
        found = self._asked(
            "probe()",
            lambda: self._agent.ask(
                "probe", limit_s=limit + _GRACE_S, name=self._name, timeout_s=limit, **self._call
            ),
        )
        return to_probe(found, self.owner)

    def start(self, devices: Sequence[int], interval_s: float, events: Events) -> None:
        """Start its sampler. Raises like :meth:`probe`."""
        more = {"devices": devices, "interval_s": interval_s, **self._call}
        self._asked("sampler()", lambda: self._agent.sample(self._name, events, **more))

    def stop(self) -> None:
        """End its sampler, which releases the driver. Raises like :meth:`probe`."""
        self._asked("close()", lambda: self._agent.ask("stop", name=self._name))

    def _asked(self, member: str, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except AgentLate as error:
            raise too_slow(self.owner, member, "device") from error
        except AgentGone as error:
            raise PluginError(f"{self.owner}: {error}", hint="see its log") from error
        except AgentError as error:
            raise PluginError(
                f"{self.owner}: {member} failed: {error}",
                hint="see the agent's log, and report it to the plugin's author",
            ) from error


def files_of(owner: Owner, module: str) -> dict[str, str]:
    """The files of a module or a package in pure Python, by their path below its parent.

    Raises:
        PluginError: there is no such module, or it is not in Python.
    """
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise wrong(owner, "program()", f"names the module {module!r}, which is not a Python file")
    origin = Path(spec.origin)
    if spec.submodule_search_locations is None:
        return {origin.name: origin.read_text(encoding="utf-8")}
    parent = origin.parent.parent
    return {
        file.relative_to(parent).as_posix(): file.read_text(encoding="utf-8")
        for file in sorted(origin.parent.rglob("*.py"))
    }


def to_probe(found: Any, owner: Owner) -> Probe:
    """A probe as a node program returns it.

    Raises:
        PluginError: it has unknown keys or values of wrong types.
    """
    return _convert(found, Probe, owner, "probe()")


def to_sample(values: Any, owner: Owner) -> Sample:
    """One sample as a node program returns it. Raises like :func:`to_probe`."""
    return _convert(values, Sample, owner, "sample()")


def _convert(value: Any, cls: type[T], owner: Owner, member: str) -> T:
    if (unknown := _unknown_key(value, cls)) is not None:
        raise wrong(owner, member, f"returned the unknown key {unknown!r}")
    try:
        return msgspec.convert(value, cls, dec_hook=_frozen_map)
    except msgspec.ValidationError as error:
        raise wrong(owner, member, f"returned an invalid value: {error}") from error


def _unknown_key(value: Any, cls: Any, path: str = "") -> str | None:
    """The path of the first unknown key."""
    if not isinstance(value, dict):
        return None
    fields = {field.name: field for field in attrs.fields(cls)}
    for key, item in value.items():
        if key not in fields:
            return f"{path}{key}"
        inner = _classes.get((cls, key))
        for number, one in enumerate(item if isinstance(item, list) else [item]):
            place = f"{path}{key}[{number}]." if isinstance(item, list) else f"{path}{key}."
            if inner is not None and (found := _unknown_key(one, inner, place)) is not None:
                return found
    return None


def _nested() -> dict[tuple[Any, str], Any]:
    from tokenbench.api import DeviceInfo, PcieLink

    return {(Probe, "devices"): DeviceInfo, (DeviceInfo, "pcie"): PcieLink}


_classes = _nested()


def _frozen_map(_: Any, value: Any) -> FrozenMap[Any]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError("expected a mapping of texts")
    return FrozenMap(value)
