"""Plugin objects whose members have time limits."""

from __future__ import annotations

import inspect
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tokenbench.api import PluginError, Session, SingleTurn, TextPrompt, Turn, Workload
from tokenbench.guard.limits import VARIABLE
from tokenbench.guard.members import MEMBERS, limited
from tokenbench.guard.owner import Owner, PluginTooSlow

OWNER = Owner("workload", "x", "dist", "1.0")
ONE = SingleTurn(Turn(prompt=TextPrompt("Hello"), max_tokens=1))


class _Faulty(Workload):
    """Each member does what the test says."""

    def __init__(self, do: Any) -> None:
        self._do = do

    def sessions(self, context: Any, seed: int) -> Iterator[Session]:
        yield ONE
        yield self._do()

    def priming(self, context: Any, seed: int) -> Iterator[Session]:
        yield ONE
        yield self._do()

    def arrivals_s(self) -> tuple[float, ...]:
        found: tuple[float, ...] = self._do()
        return found


def _raise() -> None:
    raise RuntimeError("failed on purpose")


def _read(member: str, do: Any) -> Any:
    workload = limited(_Faulty(do), Workload, OWNER)  # type: ignore[type-abstract]
    if member == "arrivals_s":
        return workload.arrivals_s()
    return list(getattr(workload, member)(None, 0))


@pytest.mark.parametrize("base", MEMBERS, ids=lambda base: base.__name__)
def test_every_member_of_a_plugin_has_a_limit(base: type[Any]) -> None:
    """A method or property added to a class of the API must be in the table, too."""
    declared = {
        name
        for name, value in vars(base).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
    }
    # The decoder of a response is made for every request, by load workers without limits: the hang
    # watch interrupts what it does.
    assert declared - {"decoder"} <= set(MEMBERS[base])


@pytest.mark.parametrize("member", ["sessions", "priming", "arrivals_s"])
def test_members_that_yield_or_return_data(member: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception, a wrong type and a hang each name the plugin and the member."""
    monkeypatch.setenv(VARIABLE, "all=0.3")
    found = {"arrivals_s": (0.0, 1.5)}.get(member, [ONE, ONE])
    assert _read(member, lambda: (0.0, 1.5) if member == "arrivals_s" else ONE) == found
    named = rf"workload 'x' \(dist 1.0\): {member}\(\) "
    with pytest.raises(PluginError, match=named + "raised RuntimeError: failed on purpose"):
        _read(member, _raise)
    with pytest.raises(PluginError, match=named + "(yielded|returned) "):
        _read(member, lambda: "nonsense")
    with pytest.raises(PluginTooSlow, match=named + "did not return within 0.3 s"):
        _read(member, lambda: time.sleep(60))
