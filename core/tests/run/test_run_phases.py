"""What is shown of the processes that start, and whose logs it is read from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tokenbench.api import Engine, EngineRequest, LaunchPlan, PluginError, ProcessSpec
from tokenbench.run import starting
from tokenbench.run.starting import Phases, set_logs_aside

PLAN = LaunchPlan(
    processes=(ProcessSpec(role="prefill", argv=("p",)), ProcessSpec(role="decode", argv=("d",)))
)


class LastLine(Engine):
    """Its phase is the last line of the log."""

    def plan(self, request: EngineRequest) -> LaunchPlan:
        return PLAN

    def phase(self, log: str) -> str | None:
        if log == "fault":
            raise PluginError("engine: phase() raised KeyError", hint="report it")
        return log or None


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look reads the logs."""
    monkeypatch.setattr(starting, "_PHASE_EVERY_S", 0.0)


def _phases(logs: dict[str, str], plan: LaunchPlan = PLAN) -> tuple[Phases, list[str]]:
    shown: list[str] = []
    deployment: Any = SimpleNamespace(logs=lambda role, *, lines: logs[role])
    return Phases(LastLine(), deployment, plan, shown.append), shown


def test_each_role_is_named() -> None:
    """A phase is shown when it changes; a role without one is left out."""
    logs = {"prefill": "", "decode": ""}
    phases, shown = _phases(logs)
    phases.look()
    logs["decode"] = "loading weights 45 %"
    phases.look()
    phases.look()
    logs["prefill"] = "compiling"
    phases.look()
    assert shown == [
        "decode: loading weights 45 %",
        "prefill: compiling, decode: loading weights 45 %",
    ]
    assert phases.last == shown[-1]


def test_a_faulty_plugin_ends_the_display_and_nothing_else() -> None:
    """It is not asked again."""
    logs = {"prefill": "compiling", "decode": "fault"}
    phases, shown = _phases(logs)
    phases.look()
    logs["decode"] = "compiling"
    phases.look()
    assert shown == [] and phases.last == ""


def test_a_server_that_runs_already_has_no_phases() -> None:
    """There is no log."""
    phases, shown = _phases({}, LaunchPlan())
    phases.look()
    assert shown == []


def test_logs_of_an_earlier_start_are_set_aside(tmp_path: Path) -> None:
    """Those of the plan's roles, each time under a new number."""
    for text in ("first", "second"):
        (tmp_path / "decode-0.log").write_text(text)
        (tmp_path / "worker-0.log").write_text("of the client")
        set_logs_aside(tmp_path, PLAN)
    found = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert found == {
        "decode-0.log.1": "first",
        "decode-0.log.2": "second",
        "worker-0.log": "of the client",
    }
