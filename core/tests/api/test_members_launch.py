"""Launcher and Deployment: what core asks of a place to run processes."""

from __future__ import annotations

import pytest

from tokenbench.api import EngineError, HardwareAbsent, LauncherContext
from tokenbench.suite.schema import PluginRef

from .conftest import WholeRun, plan_of, suite


@pytest.mark.covers("Launcher.allocate")
def test_what_a_plan_needs_is_allocated(whole_run: WholeRun) -> None:
    """Every process of the plan and the chip it was planned for; before anything is started."""
    (asked,) = whole_run.notes.of("Launcher.allocate")
    planned = whole_run.plan.deployments[0].launch.processes
    assert [p["role"] for p in asked["resources"]["processes"]] == [p.role for p in planned]
    assert asked["resources"]["processes"][0]["accelerators"] == 1
    assert asked["resources"]["accelerator_sku"] == "REC-1"
    order = whole_run.notes.order("Launcher.allocate", "Launcher.start", "Engine.ready")
    assert order == ["Launcher.allocate", "Launcher.start", "Engine.ready"]


def test_what_is_not_there_ends_the_start(serving, notes, tmp_path) -> None:
    """HardwareAbsent as the launcher raised it; nothing was started."""
    made = serving(suite(evals=False))
    plugins = plan_of(suite(evals=False))[1]
    made._launcher = plugins.launcher(PluginRef("recording"), LauncherContext(logs=tmp_path))
    with pytest.raises(HardwareAbsent, match="1 accelerators requested, 0 available"):
        made.start()
    assert not notes.of("Launcher.start")


@pytest.mark.covers("Launcher.start")
def test_the_plan_is_started_where_it_was_allocated(whole_run: WholeRun) -> None:
    """With all layers merged into it, and with the very allocation."""
    (allocated,) = whole_run.notes.of("Launcher.allocate")
    (started,) = whole_run.notes.of("Launcher.start")
    assert started["allocation"] == allocated["allocation"]
    (process,) = started["plan"]["processes"]
    assert process["environment"] == {"RECORDED_DEVICES": "{devices}"}


@pytest.mark.covers("Deployment.endpoints")
def test_load_goes_to_the_first_endpoint(serving) -> None:
    """Of those that the deployment tells."""
    made = serving(suite(evals=False))
    made.start()
    inner = made.deployment.endpoints
    assert made.url == inner[0].url
    assert made.control.endpoints == inner
    assert made.control.get("/health").status == 200


def test_endpoints_that_are_known_late_are_waited_for(serving) -> None:
    """A cluster tells hosts and ports only once its processes run."""
    made = serving(suite(evals=False, launcher={"late": 3}))
    made.start()
    assert made.url.startswith("http://127.0.0.1:")


@pytest.mark.covers("Deployment.status", "Deployment.logs")
def test_a_dead_process_is_noticed_and_quoted(serving, notes) -> None:
    """Its exit code from the status, its last words from the log of its role."""
    made = serving(suite(evals=False, engine={"script": "--no-such-option"}))
    with pytest.raises(EngineError, match=r"ended with exit code 2: .*last words of rec"):
        made.start()
    states = [call["states"][0]["exit_code"] for call in notes.of("Deployment.status")]
    assert states[-1] == 2
    assert {(c["role"], c["lines"]) for c in notes.of("Deployment.logs")} == {("server", 30)}


def test_a_running_deployment_is_looked_after(whole_run: WholeRun) -> None:
    """While it starts and all through a measurement; its log is nobody's business then."""
    members = ("bench_point_started", "Deployment.status", "bench_point_finished")
    order = whole_run.notes.order(*members)
    begin, end = order.index(members[0]), order.index(members[2])
    assert order[:begin].count("Deployment.status") >= 1
    assert order[begin:end].count("Deployment.status") >= 5
    assert not whole_run.notes.of("Deployment.logs")


@pytest.mark.covers("Deployment.cancel")
def test_everything_is_cancelled_at_the_end_of_a_run(whole_run: WholeRun) -> None:
    """After the last question, before the run is said to be over."""
    members = ("bench_eval_finished", "Deployment.cancel", "bench_run_finished")
    assert whole_run.notes.order(*members) == list(members)


def test_what_did_not_start_is_cancelled_as_well(serving, notes) -> None:
    """Also where it is stopped twice."""
    made = serving(suite(evals=False, engine={"script": "--no-such-option"}))
    with pytest.raises(EngineError), made:
        pass
    assert len(notes.of("Deployment.cancel")) == 1
    made.stop()
    assert made.deployment.status()[0].exit_code == 2
