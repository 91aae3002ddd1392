"""Hardware and Sampler: what core asks of a host, and what becomes of the answers."""

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
def test_a_probe_gives_the_facts_of_a_plan(notes) -> None:
    """Asked once a plan; none there, with the plugin's own reason and hint."""
    one = suite(evals=False)
    two = attrs.evolve(one, deployments=one.deployments * 2)
    plan, _ = plan_of(two)
    assert len(notes.of("Hardware.probe")) == 1
    assert {d.request.hardware.sku for d in plan.deployments} == {"REC-1"}
    with pytest.raises(HardwareAbsent, match="none on purpose") as caught:
        plan_of(suite(hardware={"absent": True}))
    assert caught.value.hint == "leave out absent"


def test_what_a_probe_says_of_the_host_reaches_the_run(whole_run: WholeRun) -> None:
    """Handles go to processes, what cannot be measured into the notes."""
    (allocated,) = whole_run.notes.of("Launcher.allocate")
    (placement,) = allocated["allocation"]["placements"]
    assert placement["devices"] == ["handle-0"]
    state = json.loads((whole_run.directory.path / "run.json").read_text())
    assert "recording: energy_j not measured: no counter on purpose" in state["notes"]


@pytest.mark.covers("Hardware.catalogue")
def test_a_chip_is_known_by_its_alias(notes) -> None:
    """A probe tells the driver's name; the catalogue says which chip that is."""
    plan, _ = plan_of(suite(hardware={"unnamed": True}))
    assert plan.deployments[0].request.hardware.sku == "REC-1"


@pytest.mark.covers("Hardware.environment")
def test_processes_with_accelerators_get_its_variables(notes) -> None:
    """As the hardware says it, explained as its own; processes without accelerators do not."""
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


def test_the_variables_are_bound_to_what_was_allocated(serving) -> None:
    """The server's own environment holds its device."""
    made = serving(suite(evals=False))
    made.start()
    (state,) = made.deployment.status()
    # The launcher's process is a supervisor or the server; both have the variable.
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
def test_a_sampler_is_made_for_the_devices_of_the_deployment(whole_run, notes) -> None:
    """Not for all that are here; a host that can tell nothing ends its agent without fuss."""
    (made,) = whole_run.notes.of("Hardware.sampler")
    assert made["devices"] == [0]
    blind = _agent("--devices", "0,1", "--options", '{"blind": true}')
    out, _ = blind.communicate(timeout=20)
    assert (blind.returncode, out) == (0, b"")
    assert notes.of("Hardware.sampler")[0]["devices"] == [0, 1]


@pytest.mark.covers("Sampler.sample", "Sampler.close")
def test_a_sampler_is_read_in_rhythm_and_closed_once(notes) -> None:
    """Every reading is a line with all devices; the end of the agent's input closes it."""
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


def test_samples_become_power_of_a_point(whole_run: WholeRun) -> None:
    """What the sampler said, over the measured window."""
    # The last point: on a busy machine the agent may still be starting at the first.
    power: Any = whole_run.outcome.results[-1].metrics["power_w.accelerator"]
    assert power.mean == pytest.approx(100.0)


def test_a_sampler_is_closed_at_the_end_of_a_run(notes, tmp_path) -> None:
    """Drivers are let go of by core's own way to end an agent."""
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
