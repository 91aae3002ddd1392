"""A plugin of every kind that notes how core calls it, and one whole run of them all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from tokenbench.api import Engine, FrozenMap, Launcher, LauncherContext
from tokenbench.load.codecs import find_codec
from tokenbench.plan.catalog import Catalog
from tokenbench.plan.make import make_plan
from tokenbench.plan.model import Plan
from tokenbench.plan.probe import prober
from tokenbench.plugins.host import PluginHost
from tokenbench.run.runner import Outcome, Runner
from tokenbench.run.serving import Serving
from tokenbench.store.layout import RunDirectory
from tokenbench.suite.schema import Chosen, DeploymentRequest, LoadRequest, Suite

SITE = Path(__file__).parent / "site"
PLUGIN = "recording.plugin"


class Silent:
    """A display that shows nothing."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_args, **_more: None


@attrs.frozen
class Notes:
    """The calls so far, in order."""

    file: Path

    def all(self) -> list[dict[str, Any]]:
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [json.loads(line) for line in lines]

    def of(self, member: str) -> list[dict[str, Any]]:
        return [call for call in self.all() if call["member"] == member]

    def order(self, *members: str) -> list[str]:
        """The names of these members, as they were called."""
        return [call["member"] for call in self.all() if call["member"] in members]


@attrs.frozen(kw_only=True)
class WholeRun:
    """A run of the recording plugins: what came out, and what was called."""

    plan: Plan
    catalog: Catalog
    directory: RunDirectory
    outcome: Outcome
    notes: Notes


def suite(*, named: str = "recording", **options: Any) -> Suite:
    """A suite of the recording plugins, the engine `named`; `options` by kind."""

    def chosen(kind: str, name: str = "recording") -> Chosen:
        return Chosen(name, FrozenMap(options.get(kind, {})))

    return Suite(
        deployments=(
            DeploymentRequest(
                engine=chosen("engine", named),
                model="recording",
                hardware=chosen("hardware"),
                launcher=chosen("launcher"),
            ),
        ),
        seed=options.get("seed", 7),
        workloads=(chosen("workload"),),
        load=options.get("load", LoadRequest(concurrency=(1, 2))),
        evals=(chosen("eval"),) if options.get("evals", True) else (),
        reporters=(chosen("reporter"),),
    )


def plan_of(asked: Suite) -> tuple[Plan, Catalog]:
    """A plan by a catalogue of its own."""
    catalog = Catalog(PluginHost())
    return make_plan(asked, catalog, prober(catalog)), catalog


def run_of(asked: Suite, folder: Path, notes: Notes) -> WholeRun:
    """A whole run, in this process as `bench run` does it."""
    plan, catalog = plan_of(asked)
    directory = RunDirectory.create(folder, "run")
    runner = Runner(plan, catalog, directory, Silent(), interrupted=lambda: False, facts={})
    outcome = runner.run()
    return WholeRun(plan=plan, catalog=catalog, directory=directory, outcome=outcome, notes=notes)


@contextlib.contextmanager
def installed() -> Iterator[pytest.MonkeyPatch]:
    """The recording plugin is installed, for this process and those it starts."""
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
    """The calls of this test."""
    monkeypatch.setenv("RECORDING_NOTES", str(tmp_path / "notes.jsonl"))
    return Notes(tmp_path / "notes.jsonl")


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> WholeRun:
    """One run of everything: two levels, two repeats, an eval."""
    folder = tmp_path_factory.mktemp("whole")
    notes = Notes(folder / "notes.jsonl")
    load = LoadRequest(concurrency=(1, 2), repeats=2, duration_s=1.0, warmup_per_slot=2)
    with installed() as patch:
        patch.setenv("RECORDING_NOTES", str(notes.file))
        return run_of(suite(load=load), folder / "runs", notes)


@pytest.fixture
def serving(notes: Notes, tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    """Make (not start) a server of the recording engine; whatever it started is stopped."""
    made: list[Serving] = []

    def make(asked: Suite) -> Serving:
        plan, catalog = plan_of(asked)
        (deployment,) = plan.deployments
        chosen = deployment.asked
        context = LauncherContext(logs=tmp_path, devices=("handle-0", "handle-1"))
        launcher: Launcher = catalog.launcher(chosen.launcher, context)
        engine: Engine = catalog.engine(chosen.engine)
        made.append(
            Serving(
                spec=catalog.spec("engine", chosen.engine.key),
                engine=engine,
                request=deployment.request,
                plan=deployment.launch,
                launcher=launcher,
                codec=lambda name: find_codec(name, PLUGIN),
                interrupted=lambda: False,
                log_folder=tmp_path,
            )
        )
        return made[-1]

    yield make
    for one in made:
        one.stop()
