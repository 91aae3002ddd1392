"""A plugin of every kind that records how core calls it, and one complete run with all of them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from tokenbench.api import COMPLETIONS, Dialect, Engine, FrozenMap, Launcher
from tokenbench.evals.worker import EvalJob
from tokenbench.guard.owner import Owner
from tokenbench.launch.placement import Device
from tokenbench.launch.ports import free_port
from tokenbench.launch.process import start
from tokenbench.launch.settings import LaunchSettings
from tokenbench.load.codecs import find_codec
from tokenbench.load.job import encode
from tokenbench.plan.plan import Plan
from tokenbench.plan.planner import make_plan
from tokenbench.plan.resolve import resolve
from tokenbench.plugins.instances import PluginInstances
from tokenbench.plugins.registry import PluginRegistry
from tokenbench.run.runner import Outcome, Runner
from tokenbench.run.running_server import RunningServer
from tokenbench.store.layout import RunDirectory
from tokenbench.suite.schema import (
    AccuracyRequest,
    DeploymentRequest,
    LoadRequest,
    PluginRef,
    RepeatsRequest,
    Suite,
)

SITE = Path(__file__).parent / "site"
PLUGIN = "recording.plugin"
Ask = Callable[..., list[dict[str, Any]]]


class Silent:
    """A display that shows nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_args, **_more: None


@attrs.frozen
class Notes:
    """The recorded calls, in order."""

    file: Path

    def all(self) -> list[dict[str, Any]]:
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [json.loads(line) for line in lines]

    def of(self, member: str) -> list[dict[str, Any]]:
        return [call for call in self.all() if call["member"] == member]

    def order(self, *members: str) -> list[str]:
        """Names of these members, in the order of their calls."""
        return [call["member"] for call in self.all() if call["member"] in members]


@attrs.frozen(kw_only=True)
class WholeRun:
    """A run of the recording plugins: its outcome, and the recorded calls."""

    plan: Plan
    plugins: PluginInstances
    directory: RunDirectory
    outcome: Outcome
    notes: Notes


def suite(*, named: str = "recording", **options: Any) -> Suite:
    """A suite of the recording plugins with the engine `named`; `options` by kind."""

    def ref(kind: str, name: str = "recording") -> PluginRef:
        return PluginRef(name, FrozenMap(options.get(kind, {})))

    return Suite(
        deployments=(
            DeploymentRequest(
                engine=ref("engine", named),
                model=ref("model"),
                hardware=ref("hardware"),
                launcher=ref("launcher"),
            ),
        ),
        seed=options.get("seed", 7),
        workloads=(ref("workload"),),
        load=options.get("load", LoadRequest(concurrency=(1, 2))),
        evals=(ref("eval"),) if options.get("evals", True) else (),
        # The scripted server generates no language.
        accuracy=AccuracyRequest(canaries=False),
        reporters=(ref("reporter"),),
    )


def plan_of(asked: Suite) -> tuple[Plan, PluginInstances]:
    """A plan, and its own plugin instances."""
    plugins = PluginInstances(PluginRegistry())
    return make_plan(resolve(asked, plugins), plugins), plugins


def run_of(asked: Suite, folder: Path, notes: Notes) -> WholeRun:
    """A complete run in this process, like `bench run`."""
    plan, plugins = plan_of(asked)
    directory = RunDirectory.create(folder, "run")
    runner = Runner(plan, plugins, directory, Silent(), interrupted=lambda: False, facts={})
    outcome = runner.run()
    return WholeRun(plan=plan, plugins=plugins, directory=directory, outcome=outcome, notes=notes)


@contextlib.contextmanager
def installed() -> Iterator[pytest.MonkeyPatch]:
    """Install the recording plugin for this process and its children."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SITE))
        patch.setenv("PYTHONPATH", f"{SITE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
        yield patch


@pytest.fixture(scope="module")
def site() -> Iterator[None]:
    """The recording plugin, for the tests of one file."""
    with installed():
        yield


@pytest.fixture
def notes(site: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Notes:
    """The calls recorded in this test."""
    monkeypatch.setenv("RECORDING_NOTES", str(tmp_path / "notes.jsonl"))
    return Notes(tmp_path / "notes.jsonl")


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    """One run with two levels, two repeats and an eval."""
    folder = tmp_path_factory.mktemp("whole")
    notes = Notes(folder / "notes.jsonl")
    load = LoadRequest(
        concurrency=(1, 2),
        repeats=RepeatsRequest(at_least=2, at_most=2),
        duration_s=1.0,
        warmup_per_concurrency=2,
    )
    with installed() as patch:
        patch.setenv("RECORDING_NOTES", str(notes.file))
        return run_of(suite(load=load), folder / "runs", notes)


@pytest.fixture
def serving(notes: Notes, tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """Creates a server of the recording engine, without starting it. Stops it after the test."""
    made: list[RunningServer] = []

    def make(asked: Suite) -> RunningServer:
        plan, plugins = plan_of(asked)
        (deployment,) = plan.deployments
        ref = deployment.asked
        settings = LaunchSettings(
            logs=tmp_path, devices=lambda _: [Device("handle-0"), Device("handle-1")]
        )
        launcher: Launcher = plugins.launcher(ref.launcher)
        engine: Engine = plugins.engine(ref.engine)
        made.append(
            RunningServer(
                spec=plugins.spec("engine", ref.engine.key),
                engine=engine,
                request=deployment.request,
                plan=deployment.launch,
                launcher=launcher,
                settings=settings,
                codec=lambda name: find_codec(name, PLUGIN),
                interrupted=lambda: False,
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def ask(notes: Notes, tmp_path: Path) -> Iterator[Ask]:
    """Run an eval worker against a server with this script; returns its messages."""
    port = free_port()
    server = []

    def run(*script: str, key: str | None = None, **more: Any) -> list[dict[str, Any]]:
        command = (sys.executable, "-m", "tokenbench_testing.server", "--port", str(port))
        log = tmp_path / f"server-{len(server)}.log"
        server.append(start((*command, *script), log=log))
        while "listening" not in server[-1].log_tail(1):
            assert server[-1].exit_code is None
            time.sleep(0.01)
        (tmp_path / "scratch").mkdir(exist_ok=True)
        job = EvalJob(
            module=PLUGIN,
            owner=Owner("eval", "recording"),
            seed=7,
            base_url=f"http://127.0.0.1:{port}",
            model="served",
            codec=COMPLETIONS,
            codec_module=None,
            dialect=Dialect(codecs=(COMPLETIONS,)),
            scratch=str(tmp_path / "scratch"),
            samples=str(tmp_path / "samples.jsonl"),
            api_key_env="RECORDING_KEY" if key else None,
            **{"options": {}, "concurrency": 3, **more},
        )
        (tmp_path / "job.json").write_bytes(encode(job))
        done = subprocess.run(
            [sys.executable, "-m", "tokenbench.evals.worker", str(tmp_path / "job.json")],
            env={**os.environ, **({"RECORDING_KEY": key} if key else {})},
            capture_output=True,
            text=True,
            check=False,
        )
        server[-1].stop()
        return [json.loads(line) for line in done.stdout.splitlines()]

    yield run
    for one in server:
        one.stop()
