"""Hardware and Sampler: when core calls each member, and the use of its result."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import pytest

from tokenbench.api import HardwareAbsent, ProcessSpec
from tokenbench.plan.layers import hardware_layer, merge
from tokenbench.suite.schema import PluginRef
from tokenbench.telemetry.collect import Telemetry

from .conftest import PLUGIN, WholeRun, plan_of, suite


@pytest.mark.covers("Hardware.probe")
def test_the_probe_determines_the_hardware_of_a_plan(notes) -> None:
    """Called once per plan. Without devices, the error has the plugin's reason and hint."""
    one = suite(evals=False)
    two = attrs.evolve(one, deployments=one.deployments * 2)
    plan, _ = plan_of(two)
    assert len(notes.of("Hardware.probe")) == 1
    assert {d.request.hardware.sku for d in plan.deployments} == {"REC-1"}
    with pytest.raises(HardwareAbsent, match="none on purpose") as caught:
        plan_of(suite(hardware={"absent": True}))
    assert caught.value.hint == "leave out absent"


def test_handles_and_notes_of_a_probe_are_used(whole_run: WholeRun) -> None:
    """Handles select devices for processes; notes are recorded."""
    (allocated,) = whole_run.notes.of("Launcher.allocate")
    (placement,) = allocated["allocation"]["placements"]
    assert placement["devices"] == ["handle-0"]
    state = json.loads((whole_run.directory.path / "run.json").read_text())
    assert "recording: energy_j not measured: no counter on purpose" in state["notes"]


@pytest.mark.covers("Hardware.catalogue")
def test_a_chip_is_found_by_its_alias(notes) -> None:
    """The catalogue maps the driver's name to a SKU."""
    plan, _ = plan_of(suite(hardware={"unnamed": True}))
    assert plan.deployments[0].request.hardware.sku == "REC-1"


@pytest.mark.covers("Hardware.environment")
def test_processes_with_accelerators_get_the_variables(notes) -> None:
    """The plan names the hardware as their source. Processes without accelerators do not."""
    plan, _ = plan_of(suite(evals=False))
    (deployment,) = plan.deployments
    (process,) = deployment.launch.processes
    assert process.environment == {"RECORDED_DEVICES": "{devices}"}
    said = {s.name: (s.layer, s.source) for s in deployment.settings}
    assert said["RECORDED_DEVICES"] == ("hardware", "recording")
    router = ProcessSpec(role="router", argv=("r",))
    both = attrs.evolve(deployment.launch, processes=(process, router))
    layer = hardware_layer("recording", process.environment)
    merged, _ = merge(both, "recording", [layer])
    assert merged.processes[1].environment == {}


def test_the_variables_are_bound_to_the_allocation(serving) -> None:
    """The server's environment has its device."""
    made = serving(suite(evals=False))
    made.start()
    (state,) = made.deployment.status()
    # The process is the supervisor or the server; both have the variable.
    environ = Path(f"/proc/{state.pid}/environ").read_bytes().split(b"\0")
    assert b"RECORDED_DEVICES=handle-0" in environ


def _agent(*more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tokenbench.telemetry.agent", "--module", PLUGIN]
    return subprocess.Popen(
        [*command, "--name", "recording", "--interval-s", "0.1", *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


@pytest.mark.covers("Hardware.sampler")
def test_the_sampler_gets_the_devices_of_the_deployment(whole_run, notes) -> None:
    """Not all devices of the host. Without a sampler the agent exits with code 0."""
    (made,) = whole_run.notes.of("Hardware.sampler")
    assert made["devices"] == [0]
    blind = _agent("--devices", "0,1", "--options", '{"blind": true}')
    out, _ = blind.communicate(timeout=20)
    assert (blind.returncode, out) == (0, b"")
    assert notes.of("Hardware.sampler")[0]["devices"] == [0, 1]


@pytest.mark.covers("Sampler.sample", "Sampler.close")
def test_a_sampler_is_read_periodically_and_closed_once(notes) -> None:
    """Every reading is one line with all devices. The agent exits at the end of its input."""
    agent = _agent("--devices", "0,1")
    assert agent.stdout is not None and agent.stdin is not None
    lines = [json.loads(agent.stdout.readline()) for _ in range(5)]
    assert not notes.of("Sampler.close")
    agent.stdin.close()
    assert agent.wait(10) == 0
    agent.stdout.close()
    for line in lines:
        assert [(s["device"], s["power_w"]) for s in line["s"]] == [(0, 100.0), (1, 100.0)]
    times = [call["at"] / 1e9 for call in notes.of("Sampler.sample")]
    assert min(b - a for a, b in itertools.pairwise(times)) >= 0.09
    assert notes.order("Sampler.sample", "Sampler.close")[-1] == "Sampler.close"
    assert len(notes.of("Sampler.close")) == 1


def test_samples_determine_the_power_of_a_point(whole_run: WholeRun) -> None:
    """The mean over the measured window."""
    # On a busy machine the agent may still be starting during the first point.
    power: Any = whole_run.outcome.results[-1].metrics["power_w.accelerator"]
    assert power.mean == pytest.approx(100.0)


def test_a_sampler_is_closed_at_the_end_of_a_run(notes, tmp_path) -> None:
    """When core ends the agent."""
    telemetry = Telemetry(
        module=PLUGIN,
        name="recording",
        options=dict(PluginRef("recording").options),
        devices=(0,),
        folder=tmp_path,
        host="here",
        role="server",
        cpus=None,
    )
    deadline = time.monotonic() + 10
    while not notes.of("Sampler.sample") and time.monotonic() < deadline:
        time.sleep(0.05)
    telemetry.close()
    assert len(notes.of("Sampler.close")) == 1
