"""Neuron devices are found through neuron-ls and the driver's files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tokenbench_hardware_trainium import node
from tokenbench_hardware_trainium.node import devices

SRC = Path(node.__file__).parent.parent
OLD_PYTHON = Path(sys.base_prefix).parent / "3.8.18/bin/python3.8"


def test_devices_of_trn2_are_found(host) -> None:
    """All fields of the documented output; chips are numbered as by Neuron, cores are handles."""
    host.prints("neuron-ls", "neuron-ls-trn2n.48xlarge.json")
    host.driver(0, 15)
    host.write("bus/pci/devices/0000:cc:00.0/current_link_speed", "32.0 GT/s PCIe")
    host.write("bus/pci/devices/0000:cc:00.0/max_link_speed", "32.0 GT/s PCIe")
    host.write("bus/pci/devices/0000:cc:00.0/current_link_width", "8")
    found = node.probe(host.options)
    first, last = found["devices"]
    assert first == {
        "index": 0,
        "name": "AWS Trainium2",
        "handle": "0-3",
        "sku": "trn2",
        "uuid": "9ff5434815c8bd80",
        "pci": "0000:cc:00.0",
        "driver": "2.26.5.0",
        "memory_bytes": 96 << 30,
        "memory_used_bytes": 2 << 30,
        "numa_node": 1,
        "pcie": {"generation": 5, "max_generation": 5, "width": 8},
        "scale_up_links": 4,
        "pids": [113985],
    }
    assert (last["index"], last["handle"]) == (15, "60-63")
    assert found["facts"]["logical NeuronCore configuration"] == "2"
    assert {"power_w", "energy_j", "temperature_c", "throttle"} <= set(found["notes"])
    assert "pids" not in found["notes"]


def test_unknown_values_are_left_out(host) -> None:
    """On the captured trn1.2xlarge: no NUMA node, no links, no process, no driver's files."""
    host.prints("neuron-ls", "neuron-ls-trn1.2xlarge.json")
    host.write("bus/pci/devices/0000:00:1e.0/device", "0x7164")
    (device,) = node.probe(host.options)["devices"]
    assert device == {
        "index": 0,
        "name": "AWS Trainium1",
        "handle": "0-1",
        "sku": "trn1",
        "pci": "0000:00:1e.0",
        "memory_bytes": 32 << 30,
        "pids": [],
    }


def test_pids_of_another_namespace_are_unknown(host) -> None:
    """In the captured container, neuron-ls printed the host's numbers of the processes."""
    host.in_container()
    host.prints("neuron-ls", "neuron-ls-trn2-container.json")
    found = node.probe(host.options)
    assert "pids" not in found["devices"][0]
    assert "namespace" in found["notes"]["pids"]
    assert found["devices"][0]["sku"] == "trn2"  # By its instance type.
    assert found["facts"]["instance type"] == "trn2.48xlarge"


def test_broken_devices_are_reported(host) -> None:
    """Uncorrected errors and unhealthy components of the driver's files."""
    host.prints("neuron-ls", "neuron-ls-trn1.2xlarge.json")
    host.driver(0)
    hardware = "devices/virtual/neuron_device/neuron0/stats/hardware"
    host.write(f"{hardware}/mem_ecc_uncorrected", "3")
    host.write(f"{hardware}/health_status/unhealthy_components", "hbm,link_host")
    (device,) = node.probe(host.options)["devices"]
    assert device["faults"] == [
        "3 uncorrected errors in device memory",
        "unhealthy: hbm,link_host",
    ]


def test_cores_are_counted_where_they_are_not_listed(host) -> None:
    """Before Neuron 2.25, neuron-ls had only the number of cores."""
    host.tool("neuron-ls", """print('[{"neuron_device": 3, "nc_count": 2}]')""")
    (device,) = node.probe(host.options)["devices"]
    assert device == {"index": 3, "name": "AWS Neuron device", "handle": "6-7"}


@pytest.mark.parametrize(
    ("numbers", "text"), [([0, 1, 2, 3], "0-3"), ([5], "5"), ([0, 1, 4], "0-1,4"), ([], "")]
)
def test_ranges_are_written_as_the_runtime_takes_them(numbers, text) -> None:
    """NEURON_RT_VISIBLE_CORES: numbers and ranges."""
    assert devices.ranges(numbers) == text


def test_machine_without_neuron(host) -> None:
    """Neither program nor driver: a reason and a hint."""
    found = node.probe(host.options)
    assert found["reason"].startswith("no Neuron device on this machine: neither neuron-ls")
    assert "aws-neuronx-tools" in found["hint"]


def test_driver_without_tools(host) -> None:
    """The driver has devices, but neuron-ls is missing: the hint names the package."""
    host.driver(0, 1)
    found = node.probe(host.options)
    assert found["reason"] == "the driver has 2 Neuron devices, but neuron-ls is not installed"
    assert found["hint"] == "install the package aws-neuronx-tools"


def test_tools_are_found_without_path(host, monkeypatch) -> None:
    """Only login shells have Neuron's tools in PATH."""
    host.prints("neuron-ls", "neuron-ls-trn1.2xlarge.json")
    monkeypatch.setenv("PATH", "/nowhere")
    assert len(node.probe(host.options)["devices"]) == 1


BAD_OUTPUT = {
    "nonzero": ("sys.exit('nrt: driver is broken')", "neuron-ls failed with code 1: nrt: driver"),
    "killed": ("os.kill(os.getpid(), 9)", "neuron-ls failed with signal 9"),
    "garbage": ("print('unknown flag `badflag`')", "neuron-ls printed no JSON: 'unknown flag"),
    "truncated": ('print(\'[{"neuron_device": 0, "bdf\')', "neuron-ls printed no JSON"),
    "no list": ("print('{}')", "neuron-ls printed no list of devices"),
    "no device": ("print('[{\"device\": 1}]')", "entries without neuron_device"),
    "binary": ("sys.stdout.buffer.write(b'\\xff\\xfe')", "neuron-ls printed no JSON"),
    "silent": ("", "neuron-ls printed no JSON: ''"),
}


@pytest.mark.parametrize("case", BAD_OUTPUT)
def test_broken_neuron_ls_gives_a_reason(host, case) -> None:
    """Each with the driver's devices there: what went wrong, and how to look further."""
    script, reason = BAD_OUTPUT[case]
    host.driver(0)
    host.tool("neuron-ls", script)
    found = node.probe(host.options)
    assert reason in found["reason"] and found["hint"]


def test_hanging_neuron_ls_is_ended(host, monkeypatch) -> None:
    """It gets a few seconds."""
    monkeypatch.setattr(devices, "TIMEOUT_S", 0.3)
    host.driver(0)
    host.tool("neuron-ls", "time.sleep(60)")
    assert node.probe(host.options)["reason"] == "neuron-ls did not end within 0.3 s"


def test_neuron_ls_without_devices(host) -> None:
    """It ends with code 1 and prints nothing: there is no device."""
    host.tool("neuron-ls", "sys.exit(1)")
    found = node.probe(host.options)
    assert found["reason"] == ("no Neuron device on this machine: neuron-ls failed with code 1")


def test_program_that_cannot_be_started(host) -> None:
    """A program of another architecture."""
    host.driver(0)
    host.tool("neuron-ls", "")
    (host.tools / "neuron-ls").write_bytes(b"\x7fELF")
    assert "neuron-ls cannot be started" in node.probe(host.options)["reason"]


@pytest.mark.skipif(not OLD_PYTHON.exists(), reason="no Python 3.8 here")
def test_oldest_python(host) -> None:
    """The files alone work with Python 3.8: probe, sampler, readings."""
    host.prints("neuron-ls", "neuron-ls-trn2n.48xlarge.json")
    host.streams("neuron-monitor-trn2n.48xlarge.jsonl")
    host.driver(0, 15)
    program = (
        "import json, sys, time; import node; options = json.loads(sys.argv[1])\n"
        "found = node.probe(options)\n"
        "sampler = node.sampler(options, [0, 15])\n"
        "for _ in range(100):\n"
        "    time.sleep(0.05)\n"
        "    if 'utilization' in sampler.sample()[0]: break\n"
        "print(json.dumps([found, sampler.sample()])); sampler.close()"
    )
    done = subprocess.run(
        [str(OLD_PYTHON), "-c", program, json.dumps(host.options)],
        env={**os.environ, "PYTHONPATH": str(SRC)},
        capture_output=True,
        text=True,
        check=True,
    )
    found, samples = json.loads(done.stdout)
    assert len(found["devices"]) == 2
    assert samples[0]["utilization"] == pytest.approx(0.210075)
