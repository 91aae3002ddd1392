"""Hooks: when registry, planner and runner call them, and the use of their results."""

from __future__ import annotations

import json

import attrs
import pytest

from tokenbench.api import (
    DeploymentReady,
    EvalFinished,
    FileSpec,
    FrozenMap,
    PluginError,
    PointFinished,
    PointStarted,
    RunFinished,
    RunStarted,
    UsageError,
)
from tokenbench.plan.canonical import plain
from tokenbench.plan.plan import PlannedDeployment
from tokenbench.plugins.kinds import BY_NAME
from tokenbench.plugins.registry import PluginRegistry
from tokenbench.run.observers import Observers
from tokenbench.suite.schema import PluginRef

from .conftest import WholeRun, plan_of, suite

OBSERVE = {
    "bench_run_started": RunStarted,
    "bench_deployment_ready": DeploymentReady,
    "bench_point_started": PointStarted,
    "bench_point_finished": PointFinished,
    "bench_eval_finished": EvalFinished,
    "bench_run_finished": RunFinished,
}
REGISTERED = {
    **dict.fromkeys(
        ("engine", "hardware", "model", "workload", "eval", "reporter", "launcher"), "recording"
    ),
    "codec": "recording-lines",
}


# -- register ------------------------------------------------------------------------------------


@pytest.mark.covers(
    "bench_register_engines",
    "bench_register_hardware",
    "bench_register_models",
    "bench_register_workloads",
    "bench_register_evals",
    "bench_register_reporters",
    "bench_register_launchers",
    "bench_register_codecs",
)
@pytest.mark.parametrize(("kind", "name"), REGISTERED.items())
def test_a_registration_hook_is_called_once_on_first_use(
    notes, monkeypatch, kind: str, name: str
) -> None:
    """Not when listing names, not for another kind. An exception marks the plugin as broken."""
    hook = BY_NAME[kind].hook
    registry = PluginRegistry()
    assert name in registry.names(kind)
    assert not notes.all()
    spec = registry.spec(kind, name)
    assert registry.spec(kind, name) is spec
    assert [call["member"] for call in notes.all()] == [hook]
    assert isinstance(spec, BY_NAME[kind].spec or type(None))
    assert spec.name == name
    monkeypatch.setenv("RECORDING_FAILS", str(hook))
    with pytest.raises(PluginError, match=r"broken \(register\): RuntimeError: failed on purpose"):
        PluginRegistry().spec(kind, name)


def test_the_hook_of_a_module_with_two_plugins_is_called_once(notes) -> None:
    """On first use of either plugin."""
    registry = PluginRegistry()
    registry.spec("engine", "recording")
    registry.spec("engine", "recording-bare")
    assert len(notes.of("bench_register_engines")) == 1


def test_worker_processes_call_registration_hooks(whole_run: WholeRun) -> None:
    """The eval worker for evals, a load worker for codecs. The node agent calls no hook: a host has
    nothing but the node program.
    """
    assert len(whole_run.notes.of("bench_register_hardware")) == 1
    assert len(whole_run.notes.of("bench_register_evals")) == 2
    assert len(whole_run.notes.of("bench_register_codecs")) >= 1 + 2 * 3


# -- amend ---------------------------------------------------------------------------------------


def _planned() -> PlannedDeployment:
    (deployment,) = plan_of(suite(evals=False))[0].deployments
    return deployment


@pytest.mark.covers("bench_amend_launch")
def test_all_fields_of_an_amendment_are_applied(notes, monkeypatch) -> None:
    """The hook is called once per deployment, with the engine's plan."""
    plain_one = _planned()
    (call,) = notes.of("bench_amend_launch")
    assert call["engine"] == "recording"
    assert call["request"]["hardware"]["sku"] == "REC-1"
    assert call["plan"]["processes"][0]["flags"] == {"--itl-s": 0.001}
    # An amendment sees the engine's plan, without the hardware's variables.
    assert call["plan"]["processes"][0]["environment"] == {}
    monkeypatch.setenv("RECORDING_AMENDS", "everything")
    amended = _planned()
    server, helper = amended.launch.processes
    (before,) = plain_one.launch.processes
    assert server == attrs.evolve(
        before,
        flags=FrozenMap({"--itl-s": 0.002, "--ttft-s": 0.003}),
        environment=before.environment.updated({"AMENDED": "1"}),
        files=(FileSpec(name="amended.json", content="{}"),),
        mounts=("/opt/amended",),
        devices=("/dev/recorded", "/dev/amended"),
    )
    assert (helper.role, helper.argv) == ("helper", ("sleep", "60"))
    assert (helper.mounts, helper.devices) == (("/opt/amended",), ("/dev/amended",))
    settings = {s.name: s for s in amended.settings}
    assert settings["--itl-s"].source == "recording.plugin: everything at once"
    assert settings["--itl-s"].replaced == ("0.001 (engine: recording)",)
    assert amended.id != plain_one.id


def test_none_changes_nothing(notes) -> None:
    """As for an unknown engine."""
    (process,) = _planned().launch.processes
    assert notes.of("bench_amend_launch")
    assert process.flags == {"--itl-s": 0.001}
    assert (process.files, process.mounts, process.devices) == ((), (), ("/dev/recorded",))


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("fails", PluginError, r"\(recording 1\.0\): bench_amend_launch\(\) raised RuntimeError"),
        ("rejects", UsageError, "rejected on purpose"),
    ],
)
def test_an_exception_in_an_amendment_stops_planning(
    notes, monkeypatch, how: str, kind: type[Exception], message: str
) -> None:
    """Errors of the API are raised unchanged, others with the plugin's name."""
    monkeypatch.setenv("RECORDING_AMENDS", how)
    with pytest.raises(kind, match=message):
        _planned()


def test_an_added_process_is_started_and_stopped(serving, monkeypatch) -> None:
    """Together with the server."""
    monkeypatch.setenv("RECORDING_AMENDS", "everything")
    made = serving(suite(evals=False))
    made.start()
    assert [(s.place.role, s.exit_code) for s in made.deployment.states()] == [
        *(("server", None), ("helper", None))
    ]
    made.stop()
    assert [s.exit_code is None for s in made.deployment.states()] == [False, False]


# -- observe -------------------------------------------------------------------------------------


@pytest.mark.covers(
    "bench_run_started",
    "bench_deployment_ready",
    "bench_point_started",
    "bench_point_finished",
    "bench_eval_finished",
    "bench_run_finished",
)
def test_each_event_occurs_once(whole_run: WholeRun) -> None:
    """With the points, versions and verdicts of the results."""
    events = {hook: [c["event"] for c in whole_run.notes.of(hook)] for hook in OBSERVE}
    run, results = whole_run.directory.id, whole_run.outcome.results
    path = str(whole_run.directory.path)
    assert events["bench_run_started"] == [{"run": run, "path": path, "points": 2}]
    (ready,) = events["bench_deployment_ready"]
    (deployment,) = whole_run.plan.deployments
    assert (ready["run"], ready["deployment"]) == (run, deployment.id)
    assert ready["start_s"] > 0
    started = [(e["deployment"], e["point"]) for e in events["bench_point_started"]]
    assert started == [(deployment.id, point.id) for point in deployment.points]
    finished = [e["result"] for e in events["bench_point_finished"]]
    assert [r["point"] for r in finished] == [r.point for r in results]
    assert [r["metrics"] for r in finished] == [plain(r.metrics) for r in results]
    (evaluated,) = events["bench_eval_finished"]
    assert evaluated["outcome"] == json.loads(json.dumps(plain(whole_run.outcome.evals[0])))
    assert events["bench_run_finished"] == [
        {"run": run, "path": path, "state": "complete", "exit_code": 0}
    ]


@pytest.mark.parametrize("hook", OBSERVE)
def test_a_failing_observer_is_logged(notes, monkeypatch, capsys, hook: str) -> None:
    """With plugin and hook; nothing is raised."""
    registry = PluginRegistry()
    registry.spec("observer", "recording")
    monkeypatch.setenv("RECORDING_FAILS", hook)
    cls = OBSERVE[hook]
    event = cls(**{field.name: None for field in attrs.fields(cls)})
    Observers(registry).tell(event)
    assert len(notes.of(hook)) == 1
    captured = capsys.readouterr()
    log = captured.out + captured.err
    assert "observer failed" in log and "recording.plugin" in log and hook in log


@pytest.mark.covers("bench_use_options")
def test_options_of_an_amendment_and_an_observer(notes) -> None:
    """Those of ``--use NAME:key=value``; the defaults for a module that another plugin loads."""
    plan_of(suite(evals=False))
    assert notes.of("bench_amend_launch")[-1]["word"] == "none"
    used = attrs.evolve(
        suite(evals=False), use=(PluginRef("recording", FrozenMap({"word": "given"})),)
    )
    _, plugins = plan_of(used)
    assert notes.of("bench_amend_launch")[-1]["word"] == "given"
    Observers(plugins.registry).tell(RunStarted(run="r", path="p", points=1))
    assert notes.of("options")[-1]["word"] == "given"
    wrong = attrs.evolve(used, use=(PluginRef("recording", FrozenMap({"wrd": "x"})),))
    with pytest.raises(UsageError, match="unknown option 'wrd'"):
        plan_of(wrong)
