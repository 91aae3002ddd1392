"""Observe hooks during whole runs, received by an observer in a distribution of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

SITE = Path(__file__).resolve().parent / "site"
# Long prompts: the measured server has enough context for the eval, so no eval twin is started.
WORKLOAD = ("--workload", "random:input_tokens=200,output_tokens=4")
OBSERVER = '''"""Writes each event and the state of the run at that time to a file."""

import json
import os
from pathlib import Path

from tokenbench.api import hookimpl

FOLDER = Path(__file__).parent


def _note(hook, event, **more):
    with (FOLDER / "events.jsonl").open("a") as out:
        out.write(json.dumps({"hook": hook, "run": event.run, **more}) + "\\n")


def _run():
    (found,) = Path("runs").iterdir()
    return found


def _lines(name):
    file = _run() / name
    return len(file.read_text().splitlines()) if file.exists() else 0


@hookimpl
def bench_run_started(event):
    there = Path(event.path).is_dir()
    logs = len(list(Path(event.path, "logs").iterdir()))
    _note("bench_run_started", event, points=event.points, there=there, logs=logs)


@hookimpl
def bench_deployment_ready(event):
    phases = len(list(_run().glob("points/*/*")))
    _note("bench_deployment_ready", event, engine=event.engine, phases=phases)


@hookimpl
def bench_point_started(event):
    phases = len(list(_run().glob(f"points/{event.point}/*")))
    _note("bench_point_started", event, point=event.point, phases=phases)


@hookimpl
def bench_point_finished(event):
    more = {"point": event.result.point, "state": event.result.state.value}
    _note("bench_point_finished", event, on_disk=_lines("results.jsonl"), **more)


@hookimpl
def bench_eval_finished(event):
    there = len(list(_run().glob("evals/*/*/outcome.json")))
    _note("bench_eval_finished", event, on_disk=there, verdict=event.outcome.accuracy.value)


@hookimpl
def bench_run_finished(event):
    state = json.loads((Path(event.path) / "run.json").read_text())["state"]
    mark = f"TOKENBENCH_TEST_MARK={os.environ['TOKENBENCH_TEST_MARK']}".encode()
    others = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            mine = mark in (folder / "environ").read_bytes()
        except OSError:
            continue
        if mine and int(folder.name) != os.getpid():
            others.append((folder / "cmdline").read_text(errors="replace"))
    more = {"state": event.state, "on_disk": state, "exit_code": event.exit_code}
    _note("bench_run_finished", event, running=[o for o in others if o], **more)
'''


@pytest.fixture
def watched(bench, tmp_path: Path) -> dict[str, str]:
    """An environment with the observer, which is an amendment too, for `--use`."""
    site = tmp_path / "watch"
    info = site / "watch-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: watch\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[tokenbench.api]\n0.2 = tokenbench.api\n"
        "[tokenbench.observers]\nonly = watch\n"
        "[tokenbench.amendments]\nwatch = watch\n"
    )
    (site / "watch.py").write_text(OBSERVER)
    path = (str(site), str(SITE), os.environ.get("PYTHONPATH", ""))
    return {"PYTHONPATH": os.pathsep.join(path)}


def _events(bench) -> list[dict[str, Any]]:
    file = bench.folder / "watch" / "events.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.covers(
    "bench_run_started",
    "bench_deployment_ready",
    "bench_point_started",
    "bench_point_finished",
    "bench_eval_finished",
    "bench_run_finished",
)
def test_order_of_events(bench, watched) -> None:
    """As documented: files are written before the event; at the end, no process is left."""
    done = bench(
        *("run", "--engine", "scripted", *WORKLOAD, "--concurrency", "1,2", "--use", "watch"),
        *("--requests", "4", "--eval", "demo:limit=4", "--no-canaries", "--allow-invalid"),
        **watched,
    )
    assert done.code == 0, done.err
    events = _events(bench)
    assert [event["hook"] for event in events] == [
        "bench_run_started",
        "bench_deployment_ready",
        *("bench_point_started", "bench_point_finished") * 2,
        "bench_eval_finished",
        "bench_run_finished",
    ]
    assert {event["run"] for event in events} == {bench.run_directory.name}
    begun, ready, *points, evaluated, over = events
    assert (begun["points"], begun["there"], begun["logs"]) == (2, True, 0)
    assert (ready["engine"], ready["phases"]) == ("scripted", 0)
    started, finished = points[::2], points[1::2]
    assert [p["phases"] for p in started] == [0, 0], "called before the warm-up"
    assert [p["on_disk"] for p in finished] == [1, 2], "called after the result is written"
    assert [p["point"] for p in started] == [p["point"] for p in finished]
    assert (evaluated["on_disk"], evaluated["verdict"]) == (1, "not run")
    assert (over["state"], over["on_disk"], over["exit_code"]) == ("complete", "complete", 0)
    assert over["running"] == []


def test_events_of_a_failed_run(bench, watched) -> None:
    """The failed point has an event, and the last event has the exit code."""
    engine = "scripted:script='--die-after 3'"
    done = bench(
        "run", "--engine", engine, *WORKLOAD, "--duration", "5", "--use", "watch", **watched
    )
    assert done.code == 5, done.err
    events = _events(bench)
    assert [event["hook"] for event in events][-3:] == [
        *("bench_point_started", "bench_point_finished", "bench_run_finished")
    ]
    assert events[-2]["state"] == "failed"
    assert (events[-1]["state"], events[-1]["exit_code"]) == ("failed", 5)
    assert events[-1]["running"] == []


def test_use_names_a_plugin_that_only_observes(bench, watched) -> None:
    """As one that only amends."""
    done = bench(
        *("run", "--engine", "scripted", *WORKLOAD, "--requests", "4", "--use", "only"),
        "--allow-invalid",
        **watched,
    )
    assert done.code == 0, done.err
