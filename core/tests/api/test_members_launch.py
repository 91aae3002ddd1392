"""Launcher: when core calls each member, and the use of its result."""

from __future__ import annotations

import sys

import pytest

from tokenbench.api import EngineError, HardwareAbsent

from .conftest import WholeRun, suite


@pytest.mark.covers("Launcher.allocate")
def test_allocate_gets_the_plan_s_processes(whole_run: WholeRun) -> None:
    """With accelerators and SKU, before the start; its hosts are those of the channels."""
    (asked,) = whole_run.notes.of("Launcher.allocate")
    planned = whole_run.plan.deployments[0].launch.processes
    assert [p["role"] for p in asked["resources"]["processes"]] == [p.role for p in planned]
    assert asked["resources"]["processes"][0]["accelerators"] == 1
    assert asked["resources"]["processes"][0]["sku"] == planned[0].sku
    members = ("Launcher.allocate", "Launcher.channel", "Engine.ready")
    assert list(dict.fromkeys(whole_run.notes.order(*members))) == list(members)


def test_missing_hardware_ends_the_start(serving, notes) -> None:
    """HardwareAbsent is raised unchanged, and no process starts."""
    made = serving(suite(evals=False, launcher={"absent": True}))
    with pytest.raises(HardwareAbsent, match="no hosts on purpose"):
        made.start()
    assert not notes.of("Launcher.channel")


@pytest.mark.covers("Launcher.channel")
def test_node_agents_are_started_through_the_channel(whole_run: WholeRun) -> None:
    """Of each host: one for the processes, one for the samplers."""
    asked = whole_run.notes.of("Launcher.channel")
    assert [call["host"] for call in asked] == ["localhost"] * 2
    assert asked[-1]["argv"][:3] == [sys.executable, "-u", "-c"]


def test_a_channel_that_does_not_open_ends_the_start(serving, notes) -> None:
    """Its last words are the cause; what was allocated is released."""
    made = serving(suite(evals=False, launcher={"closed": True}))
    with pytest.raises(EngineError, match=r"started on localhost: .*closed on purpose"), made:
        pass
    assert len(notes.of("Launcher.release")) == 1


def test_load_goes_to_the_first_endpoint(serving) -> None:
    """Of the deployment's endpoints."""
    made = serving(suite(evals=False))
    made.start()
    inner = made.deployment.endpoints
    assert made.url == inner[0].url
    assert made.control.endpoints == inner
    assert made.control.get("/health").status == 200


def test_the_error_of_a_dead_process_has_its_log(serving) -> None:
    """With its exit code, and the end of its log."""
    made = serving(suite(evals=False, engine={"script": "--no-such-option"}))
    with pytest.raises(EngineError, match=r"server-0 ended with exit code 2: .*no-such-option"):
        made.start()
    assert made.deployment.states()[0].exit_code == 2


@pytest.mark.covers("Launcher.release")
def test_hosts_are_released_at_the_end_of_a_run(whole_run: WholeRun) -> None:
    """After the evals, before the event; what was allocated."""
    members = ("bench_eval_finished", "Launcher.release", "bench_run_finished")
    assert whole_run.notes.order(*members) == list(members)
    (allocated,) = whole_run.notes.of("Launcher.allocate")
    (released,) = whole_run.notes.of("Launcher.release")
    assert released["allocation"] == allocated["allocation"]


def test_a_failed_start_is_stopped(serving, notes) -> None:
    """Once, even if it is stopped twice."""
    made = serving(suite(evals=False, engine={"script": "--no-such-option"}))
    with pytest.raises(EngineError), made:
        pass
    made.stop()
    assert len(notes.of("Launcher.release")) == 1
    assert made.deployment.states()[0].exit_code == 2
