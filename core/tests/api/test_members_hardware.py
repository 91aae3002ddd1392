"""Hardware and its node program: when core calls each member, and the use of its result."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from tokenbench.api import FrozenMap, HardwareAbsent, ProcessSpec
from tokenbench.launch.local import HOST
from tokenbench.launch.node.program import RunningProgram
from tokenbench.plan.layers import hardware_layers, merge
from tokenbench.plugins.instances import PluginInstances
from tokenbench.plugins.registry import PluginRegistry
from tokenbench.suite.schema import PluginRef
from tokenbench.telemetry.collect import Telemetry, Watched

from .conftest import WholeRun, plan_of, suite

REF = PluginRef("recording")


@pytest.mark.covers("Hardware.program")
def test_the_probe_determines_the_hardware_of_a_plan(notes) -> None:
    """Its program is asked once per plan, with its options, in another process. Without devices,
    the error has the plugin's reason and hint.
    """
    one = suite(evals=False)
    two = attrs.evolve(one, deployments=one.deployments * 2)
    plan, _ = plan_of(two)
    (asked,) = notes.of("Node.probe")
    assert asked["options"] == {"absent": False, "blind": False, "unnamed": False}
    assert {d.request.hardware.sku for d in plan.deployments} == {"REC-1"}
    with pytest.raises(HardwareAbsent, match="none on purpose") as caught:
        plan_of(suite(hardware={"absent": True}))
    assert caught.value.hint == "leave out absent"


def test_handles_and_notes_of_a_probe_are_used(whole_run: WholeRun) -> None:
    """Notes are recorded. The next test shows that handles select devices."""
    state = json.loads((whole_run.directory.path / "run.json").read_text())
    assert "recording: energy_j not measured: no counter on purpose" in state["notes"]


@pytest.mark.covers("Hardware.catalogue")
def test_a_chip_is_found_by_its_alias(notes) -> None:
    """The catalogue maps the driver's name to a SKU."""
    plan, _ = plan_of(suite(hardware={"unnamed": True}))
    assert plan.deployments[0].request.hardware.sku == "REC-1"


@pytest.mark.covers("Hardware.settings")
def test_processes_with_accelerators_get_the_settings(notes) -> None:
    """Those of their SKU. The plan names hardware and reason as their source. Processes without
    accelerators do not get them.
    """
    plan, plugins = plan_of(suite(evals=False))
    (deployment,) = plan.deployments
    assert {call["sku"] for call in notes.of("Hardware.settings")} == {"REC-1"}
    (process,) = deployment.launch.processes
    assert process.environment == {"RECORDED_DEVICES": "{devices}"}
    assert (process.devices, process.groups) == (("/dev/recorded",), ("recorders",))
    said = {(s.kind, s.name): (s.layer, s.source) for s in deployment.settings}
    reason = ("hardware", "recording: each process has its own chip")
    assert said["variable", "RECORDED_DEVICES"] == reason
    assert said["device", "/dev/recorded"] == said["group", "recorders"] == reason
    router = ProcessSpec(role="router", argv=("r",))
    both = attrs.evolve(deployment.launch, processes=(process, router))
    layers = hardware_layers(deployment.request.hardware, plugins.hardware(REF))
    merged, _ = merge(both, "recording", layers)
    assert merged.processes[1] == router


def test_the_settings_of_a_device_that_is_not_in_the_catalogue(notes, monkeypatch) -> None:
    """Its SKU is None."""
    monkeypatch.setenv("RECORDING_CHIP", "Another Chip")
    plan, _ = plan_of(suite(evals=False, hardware={"unnamed": True}))
    assert plan.deployments[0].request.hardware.sku == "Another Chip"
    assert {call["sku"] for call in notes.of("Hardware.settings")} == {None}


def test_the_variables_are_bound_to_the_allocation(serving) -> None:
    """The server's environment has its device."""
    made = serving(suite(evals=False))
    made.start()
    (state,) = made.deployment.states()
    # The process is the supervisor or the server; both have the variable.
    environ = Path(f"/proc/{state.pid}/environ").read_bytes().split(b"\0")
    assert b"RECORDED_DEVICES=handle-0" in environ


@contextlib.contextmanager
def _sampled(folder: Path, devices: tuple[int, ...], **options: bool) -> Iterator[Telemetry]:
    """Samplers of the recording plugin, as a run starts them."""
    plugins = PluginInstances(PluginRegistry())
    ref = PluginRef("recording", FrozenMap(options))
    owner = plugins.owner("hardware", ref.key)
    program = plugins.hardware(ref).program()
    assert program is not None
    telemetry = Telemetry(folder, interval_s=0.1)
    try:
        agent = telemetry.agent(HOST, tuple, None)
        watched = Watched(hardware="recording", owner=owner, domain="accelerator", devices=devices)
        telemetry.watch(agent, RunningProgram(agent, owner, program), watched)
        telemetry.wait()
        yield telemetry
    finally:
        telemetry.close()


def test_the_sampler_gets_the_devices_of_the_deployment(
    whole_run: WholeRun, notes, tmp_path
) -> None:
    """Not all devices of the host. A program without a sampler there gives no samples, and that is
    no failure.
    """
    (made,) = whole_run.notes.of("Node.sampler")
    assert made["devices"] == [0]
    with _sampled(tmp_path, (0, 1), blind=True) as telemetry:
        telemetry.check()
        assert (telemetry.sources, telemetry.problems) == ((), {})
    assert notes.of("Node.sampler")[0]["devices"] == [0, 1]


def test_a_sampler_is_read_periodically_and_closed_once(notes, tmp_path) -> None:
    """Every reading is one row for each device. The sampler is closed when core ends the agent."""
    with _sampled(tmp_path, (0, 1)) as telemetry:
        deadline = time.monotonic() + 10
        while len(notes.of("NodeSampler.sample")) < 6 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert telemetry.sources == ("recording",)
        assert not notes.of("NodeSampler.close")
    rows = [
        json.loads(line)
        for line in (tmp_path / "localhost-recording.jsonl").read_text().splitlines()
    ]
    assert [(row["device"], row["power_w"]) for row in rows[:4]] == [(0, 100.0), (1, 100.0)] * 2
    assert {(row["host"], row["hardware"], row["domain"]) for row in rows} == {
        ("localhost", "recording", "accelerator")
    }
    times = [call["at"] / 1e9 for call in notes.of("NodeSampler.sample")]
    assert min(b - a for a, b in itertools.pairwise(times)) >= 0.09
    assert notes.order("NodeSampler.sample", "NodeSampler.close")[-1] == "NodeSampler.close"
    assert len(notes.of("NodeSampler.close")) == 1


def test_a_run_closes_its_sampler_once(whole_run: WholeRun) -> None:
    """After the last point."""
    members = ("bench_point_finished", "NodeSampler.close", "bench_run_finished")
    order = whole_run.notes.order(*members)
    assert order[-2:] == ["NodeSampler.close", "bench_run_finished"]
    assert order.count("NodeSampler.close") == 1


def test_samples_determine_the_power_of_a_point(whole_run: WholeRun) -> None:
    """The mean over the measured window."""
    for result in whole_run.outcome.results:
        power: Any = result.metrics["power_w.accelerator"]
        assert power.mean == pytest.approx(100.0)


def test_the_power_without_load_is_measured_once(whole_run: WholeRun) -> None:
    """Before the first point, and each result has it."""
    for result in whole_run.outcome.results:
        assert result.metrics["idle_power_w.accelerator"].mean == pytest.approx(100.0)
