"""Launcher and Deployment: when core calls each member, and the use of its result."""

from __future__ import annotations

import pytest

from tokenbench.api import EngineError, HardwareAbsent, LauncherContext
from tokenbench.suite.schema import PluginRef

from .conftest import WholeRun, plan_of, suite


@pytest.mark.covers("Launcher.allocate")
def test_allocate_gets_the_plan_s_resources(whole_run: WholeRun) -> None:
    """All processes and the SKU, before the start."""
    (asked,) = whole_run.notes.of("Launcher.allocate")
    planned = whole_run.plan.deployments[0].launch.processes
    assert [p["role"] for p in asked["resources"]["processes"]] == [p.role for p in planned]
    assert asked["resources"]["processes"][0]["accelerators"] == 1
    assert asked["resources"]["accelerator_sku"] == "REC-1"
    order = whole_run.notes.order("Launcher.allocate", "Launcher.start", "Engine.ready")
    assert order == ["Launcher.allocate", "Launcher.start", "Engine.ready"]


def test_missing_hardware_ends_the_start(serving, notes, tmp_path) -> None:
    """HardwareAbsent is raised unchanged, and no process starts."""
    made = serving(suite(evals=False))
    plugins = plan_of(suite(evals=False))[1]
    made._launcher = plugins.launcher(PluginRef("recording"), LauncherContext(logs=tmp_path))
    with pytest.raises(HardwareAbsent, match="1 accelerators requested, 0 available"):
        made.start()
    assert not notes.of("Launcher.start")


@pytest.mark.covers("Launcher.start")
def test_start_gets_the_merged_plan_and_the_allocation(whole_run: WholeRun) -> None:
    """The plan has the settings of all layers."""
    (allocated,) = whole_run.notes.of("Launcher.allocate")
    (started,) = whole_run.notes.of("Launcher.start")
    assert started["allocation"] == allocated["allocation"]
    (process,) = started["plan"]["processes"]
    assert process["environment"] == {"RECORDED_DEVICES": "{devices}"}


@pytest.mark.covers("Deployment.endpoints")
def test_load_goes_to_the_first_endpoint(serving) -> None:
    """Of the deployment's endpoints."""
    made = serving(suite(evals=False))
    made.start()
    inner = made.deployment.endpoints
    assert made.url == inner[0].url
    assert made.control.endpoints == inner
    assert made.control.get("/health").status == 200


def test_core_waits_for_late_endpoints(serving, notes) -> None:
    """A cluster knows hosts and ports only after its processes run."""
    made = serving(suite(evals=False, launcher={"late": 3}))
    made.start()
    assert len(notes.of("Deployment.endpoints")) >= 4
    assert made.url == made.deployment.endpoints[0].url


@pytest.mark.covers("Deployment.status", "Deployment.logs")
def test_the_error_of_a_dead_process_has_its_log(serving, notes) -> None:
    """With its exit code, and the end of its log."""
    made = serving(suite(evals=False, engine={"script": "--no-such-option"}))
    with pytest.raises(EngineError, match=r"server-0 ended with exit code 2: .*last words of rec"):
        made.start()
    states = [call["states"][0]["exit_code"] for call in notes.of("Deployment.status")]
    assert states[-1] == 2
    assert {(c["role"], c["lines"]) for c in notes.of("Deployment.logs")} == {("server", 400)}


def test_the_status_is_polled(whole_run: WholeRun) -> None:
    """During the start and the measurement. Logs are not read."""
    members = ("bench_point_started", "Deployment.status", "bench_point_finished")
    order = whole_run.notes.order(*members)
    begin, end = order.index(members[0]), order.index(members[2])
    assert order[:begin].count("Deployment.status") >= 1
    assert order[begin:end].count("Deployment.status") >= 5
    assert not whole_run.notes.of("Deployment.logs")


@pytest.mark.covers("Deployment.cancel")
def test_deployments_are_cancelled_at_the_end_of_a_run(whole_run: WholeRun) -> None:
    """After the evals, before the event."""
    members = ("bench_eval_finished", "Deployment.cancel", "bench_run_finished")
    assert whole_run.notes.order(*members) == list(members)


def test_a_failed_start_is_cancelled(serving, notes) -> None:
    """Once, even if it is stopped twice."""
    made = serving(suite(evals=False, engine={"script": "--no-such-option"}))
    with pytest.raises(EngineError), made:
        pass
    assert len(notes.of("Deployment.cancel")) == 1
    made.stop()
    assert made.deployment.status()[0].exit_code == 2
