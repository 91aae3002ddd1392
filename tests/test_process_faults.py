"""Each process of a run killed, ended or halted once: the run ends with a final state, and nothing
is left. ``benchmarks/process_faults.py`` does it at many moments; `bench` killed or interrupted is
in test_errors.py.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).resolve().parent.parent / "benchmarks" / "process_faults.py"
SPEC = importlib.util.spec_from_file_location("process_faults", FILE)
assert SPEC is not None and SPEC.loader is not None
faults: Any = importlib.util.module_from_spec(SPEC)
sys.modules["process_faults"] = faults
SPEC.loader.exec_module(faults)

MEASURED = {0, 6}  # 6: this machine was too busy.


# All signals, at ten moments: python benchmarks/process_faults.py
SIGNALS = ("KILL", "STOP")


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """A run that has just begun to measure."""
    with faults.Run(tmp_path / "run", seconds=1.0, evals=False) as made:
        made.wait_until_said("event=measuring")
        time.sleep(0.3)
        yield made


@pytest.mark.parametrize("name", SIGNALS)
def test_sampler_then_load_worker(run, name: str) -> None:
    """Without its sampler a run goes on; without its load worker it fails, and says why."""
    faults._signal(run.find("sampler"), name)
    time.sleep(0.2)
    assert run.bench.poll() is None
    found = faults.strike(run, "load worker", name)
    assert (found.exit_code, found.state, found.problems) == (1, "failed", []), found
    how = "halted by a signal" if name == "STOP" else "killed by signal"
    assert how in found.complaint, found


@pytest.mark.parametrize("name", SIGNALS)
def test_node_agent(run, name: str) -> None:
    """Without the node agent, too; the result says so, unless the gap is shorter than the limit."""
    found = faults.strike(run, "node agent", name)
    assert found.exit_code in MEASURED, found
    assert (found.state, found.problems) == ("complete", []), found
    checks = {check["name"]: check for check in run.results[-1]["checks"]}
    said = checks["telemetry"]["evidence"]
    if name == "STOP":
        assert "s between samples" in said
    else:
        assert checks["telemetry"]["outcome"] == "flagged"
        assert "the node agent is gone" in said


@pytest.mark.parametrize("name", SIGNALS)
def test_supervisor_of_the_node_agent(run, name: str) -> None:
    """The agent ends with it; a halted one disturbs nothing."""
    found = faults.strike(run, "supervisor of node agent", name)
    assert found.exit_code in MEASURED, found
    assert (found.state, found.problems) == ("complete", []), found


@pytest.mark.parametrize("name", SIGNALS)
def test_engine(run, name: str) -> None:
    """A dead engine ends the run, and so does one that is halted for long."""
    found = faults.strike(run, "engine", name)
    assert (found.exit_code, found.state, found.problems) == (5, "failed", []), found
    assert ("halted by a signal" in found.complaint) == (name == "STOP"), found


@pytest.mark.parametrize("name", ["KILL"])
def test_agent_of_the_engine(run, name: str) -> None:
    """The engine ends with it, and its loss is the reason."""
    found = faults.strike(run, "engine's agent", name)
    assert (found.exit_code, found.state, found.problems) == (5, "failed", []), found


@pytest.mark.parametrize("name", SIGNALS)
def test_supervisor_of_the_engine(run, name: str) -> None:
    """The engine ends with its supervisor; a halted supervisor disturbs nothing."""
    found = faults.strike(run, "supervisor of engine", name)
    if name == "STOP":
        assert found.exit_code in MEASURED, found
        assert (found.state, found.problems) == ("complete", []), found
    else:
        assert (found.exit_code, found.state, found.problems) == (5, "failed", []), found


@pytest.mark.parametrize(("name", "state"), [("TERM", "interrupted"), ("STOP", "complete")])
def test_bench(run, name: str, state: str) -> None:
    """SIGTERM ends a run as Ctrl-C does; one that was halted for a while goes on."""
    found = faults.strike(run, "bench", name)
    assert (found.state, found.problems) == (state, []), found


@pytest.mark.parametrize("fault", faults.SERVER_FAULTS)
def test_external_server(tmp_path: Path, fault: str) -> None:
    """Whatever becomes of a server that the run did not start, the run has a final state."""
    found = faults.strike_server(tmp_path / "run", fault, 0.3)
    assert (found.state in faults.FINAL, found.problems) == (True, []), found


def test_matrix_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are there are not measured again; the table has a row per process and signal."""
    rows = tmp_path / "rows.jsonl"
    done = faults.Outcome(
        target="bench",
        fault="KILL",
        moment=0,
        exit_code=-9,
        state="running",
        complaint="",
        left=["python"],
        folders=[],
        seconds=0.1,
    )
    rows.write_text(faults.json.dumps(faults.attrs.asdict(done)) + "\n")
    monkeypatch.setattr(faults, "TARGETS", ("bench",))
    monkeypatch.setattr(faults, "SIGNALS", ("KILL",))
    monkeypatch.setattr(faults, "SERVER_FAULTS", ())
    monkeypatch.setattr(faults, "lives", dict)
    faults.measure(rows, 1)
    found = faults.read(rows)
    assert found == [done]
    assert "| bench | KILL | 1 | -9 (1) | running (1) | 1 | 0 | 0.1 s | left running: python |" in (
        faults.table(found)
    )
