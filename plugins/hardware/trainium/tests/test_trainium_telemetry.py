"""Readings through neuron-monitor's stream and the driver's files."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenbench_hardware_trainium import node
from tokenbench_hardware_trainium.node import monitor, telemetry

# Names in reports.
NAMES = st.sampled_from(
    [
        *("error", "report", "neuroncores_in_use", "neuroncore_utilization", "0", "1", "x"),
        *("neuron_hw_counters", "neuron_devices", "neuron_device_index", "tensors"),
        *("neuron_runtime_used_bytes", "usage_breakdown", "neuroncore_memory_usage"),
    ]
)


def until(holds: Callable[[], bool], limit_s: float = 10.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_readings_of_trn2(host, sampler) -> None:
    """The documented report: two of four cores are busy; the other device is idle, not unknown."""
    host.prints("neuron-ls", "neuron-ls-trn2n.48xlarge.json")
    host.streams("neuron-monitor-trn2n.48xlarge.jsonl")
    made = sampler(0, 15)
    until(lambda: "utilization" in made.sample()[0])
    first, last = made.sample()
    assert first == {
        "device": 0,
        "utilization": pytest.approx((42.01 + 42.02) / 4 / 100),
        "memory_used_bytes": 2 * (193986816 + 176285056 + 20971520),
        "pids": [113985],
    }
    assert last == {"device": 15, "utilization": 0.0, "memory_used_bytes": 0, "pids": []}


def test_first_reading_has_values(host, sampler, monkeypatch) -> None:
    """The sampler waits for the first report, which comes after a second."""
    monkeypatch.setattr(telemetry, "READY_S", 5.0)
    host.streams("neuron-monitor-trn2n.48xlarge.jsonl")
    assert "utilization" in sampler(0).sample()[0]


def test_memory_is_that_of_the_driver(host, sampler) -> None:
    """Its files have the memory of all processes, also while neuron-monitor says nothing."""
    host.prints("neuron-ls", "neuron-ls-trn2n.48xlarge.json")
    host.tool("neuron-monitor", "time.sleep(60)")
    host.driver(0, 15, used=3 << 30)
    assert [one["memory_used_bytes"] for one in sampler(0, 15).sample()] == [6 << 30, 6 << 30]


def test_four_processes_on_one_device(host, sampler) -> None:
    """Captured on inf1.xlarge: each lists all cores, and uses its own."""
    host.tool("neuron-ls", """print('[{"neuron_device": 0, "nc_count": 4}]')""")
    host.streams("neuron-monitor-inf1.xlarge.jsonl")
    made = sampler(0)
    until(lambda: "utilization" in made.sample()[0])
    (found,) = made.sample()
    mean = (2.926414908153532 + 3.0803098003189486 + 2.517060487060293 + 2.488352186334406) / 4
    assert found["utilization"] == pytest.approx(mean / 100)
    assert found["memory_used_bytes"] == 4 * (61766864 + 1295008 + 43216)
    assert found["pids"] == [20843, 21050, 21411, 21741]


def test_report_with_missing_groups(host, sampler) -> None:
    """Captured on inf2.xlarge: without the breakdown of memory, memory and pids are unknown."""
    host.streams("neuron-monitor-inf2.xlarge.jsonl")  # No neuron-ls: its report has the cores.
    made = sampler(0)
    until(lambda: "utilization" in made.sample()[0])
    assert made.sample() == [{"device": 0, "utilization": pytest.approx(0.8940087251059674 / 2)}]


def test_report_without_processes(host, sampler) -> None:
    """Captured on trn1.2xlarge: all is idle."""
    host.prints("neuron-ls", "neuron-ls-trn1.2xlarge.json")
    host.streams("neuron-monitor-trn1.2xlarge.jsonl")
    made = sampler(0)
    until(lambda: "utilization" in made.sample()[0])
    idle = {"device": 0, "utilization": 0.0, "memory_used_bytes": 0, "pids": []}
    assert made.sample() == [idle]


def test_pids_of_another_namespace_are_unknown(host, sampler) -> None:
    """neuron-monitor numbers processes as the host does."""
    host.in_container()
    host.streams("neuron-monitor-trn2n.48xlarge.jsonl")
    made = sampler(0)
    until(lambda: "utilization" in made.sample()[0])
    assert "pids" not in made.sample()[0]


def _report(**changes: Any) -> telemetry.Report:
    runtime: dict[str, Any] = {
        "pid": 7,
        "error": "",
        "report": {
            "neuroncore_counters": {
                "neuroncores_in_use": {"0": {"neuroncore_utilization": 50.0}},
                "error": "",
            },
            "memory_used": {
                "neuron_runtime_used_bytes": {
                    "usage_breakdown": {"neuroncore_memory_usage": {"0": {"tensors": 8}}}
                },
                "error": "",
            },
        },
    }
    runtime["report"].update(changes)
    return telemetry.Report({"neuron_runtime_data": [runtime]})


def test_group_with_an_error_is_unknown() -> None:
    """An error in one group takes no other with it."""
    broken = _report(memory_used={"error": "no such file"})
    assert broken.utilization([0, 1]) == 0.25
    assert broken.memory([0, 1]) is None and broken.pids([0, 1]) is None
    broken = _report(neuroncore_counters={"error": "no such file", "neuroncores_in_use": {}})
    assert broken.utilization([0, 1]) is None and broken.memory([0, 1]) == 8


@pytest.mark.parametrize(
    "value", [None, [], 3, "text", {"neuroncores_in_use": [1]}, {"neuroncores_in_use": {"0": {}}}]
)
def test_group_of_another_shape_is_unknown(value) -> None:
    """Later versions may change what they print."""
    assert _report(neuroncore_counters=value).utilization([0]) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=3),
)


@given(JSON, JSON, JSON)
def test_no_report_raises(runtimes, counters, memory) -> None:
    """Whatever later versions print: values in their range, or none."""
    runtime = {"pid": 7, "report": {"neuroncore_counters": counters, "memory_used": memory}}
    for entries in (runtimes, [runtime]):
        report = telemetry.Report({"neuron_runtime_data": entries, "system_data": counters})
        utilization, used = report.utilization([0, 1]), report.memory([0, 1])
        assert utilization is None or 0 <= utilization <= 1
        assert used is None or used >= 0
        report.pids([0, 1])


def test_no_runtimes_at_all() -> None:
    """The list may be null."""
    assert telemetry.Report({"neuron_runtime_data": None}).utilization([0]) == 0.0


def test_more_than_all_of_a_core() -> None:
    """Two processes cannot use more than all of a core."""
    report = _report()
    report._runtimes *= 3
    assert report.utilization([0]) == 1.0


def test_old_report_is_not_used(host, sampler, monkeypatch) -> None:
    """A stream that stops: the values end, the rows stay."""
    monkeypatch.setattr(monitor, "FRESH_S", 0.5)
    host.streams("neuron-monitor-trn2n.48xlarge.jsonl", reports=2, then="time.sleep(60)")
    made = sampler(0, 15)
    until(lambda: "utilization" in made.sample()[0])
    until(lambda: made.sample() == [{"device": 0}, {"device": 15}], limit_s=2.0)


def test_hanging_program_is_started_again(host) -> None:
    """Silent for too long: it is killed, even if it ignores SIGTERM, and started again."""
    host.tool(
        "neuron-monitor",
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"open({str(host.folder / 'pids')!r}, 'a').write(f'{{os.getpid()}}\\n')\n"
        "time.sleep(60)",
    )
    made = monitor.Monitor(str(host.tools / "neuron-monitor"), silent_s=0.5)
    try:
        until(lambda: made.starts == 2)
    finally:
        made.close()
    for pid in (host.folder / "pids").read_text().split():
        assert not Path(f"/proc/{pid}").exists()


def test_killed_program_is_started_again(host, sampler) -> None:
    """The readings go on after it was killed."""
    host.streams("neuron-monitor-trn2n.48xlarge.jsonl")
    made = sampler(0)
    until(lambda: "utilization" in made.sample()[0])
    made.monitor._child.kill()
    until(lambda: made.monitor.starts == 2)
    newest = made.monitor._newest[0]
    until(lambda: made.monitor._newest[0] > newest)
    assert "utilization" in made.sample()[0]


def test_program_that_fails_is_given_up(host, sampler, capfd) -> None:
    """After a few starts: the reason with its last words, and rows without values."""
    host.tool("neuron-monitor", "sys.exit('unable to open driver')")
    made = sampler(0)
    until(lambda: made.monitor.problem is not None)
    reason = "neuron-monitor ended with code 1: unable to open driver (4 starts)"
    assert made.monitor.problem == reason
    assert reason in capfd.readouterr().err
    assert made.sample() == [{"device": 0}]


def test_garbage_between_reports(host, sampler) -> None:
    """Lines that are no reports, and a report that breaks off, are skipped."""
    host.streams(
        "neuron-monitor-trn2n.48xlarge.jsonl",
        reports=0,
        then="while True:\n"
        "    for text in ('garbage', '[]', '{}', line[:200], '\\0', ''):\n"
        "        print(text)\n"
        "    sys.stdout.write(line); sys.stdout.flush(); time.sleep(0.05)",
    )
    made = sampler(0)
    until(lambda: "utilization" in made.sample()[0])
    assert made.monitor.starts == 1


def test_line_without_end(host, monkeypatch) -> None:
    """Its memory is bounded."""
    monkeypatch.setattr(monitor, "_LONGEST", 1000)
    monkeypatch.setattr(monitor, "STARTS", 1)
    host.tool(
        "neuron-monitor", "sys.stdout.write('x' * 100_000); sys.stdout.flush(); time.sleep(9)"
    )
    made = monitor.Monitor(str(host.tools / "neuron-monitor"))
    try:
        until(lambda: made.problem is not None)
        assert made.problem == "neuron-monitor printed a line without end (1 starts)"
    finally:
        made.close()


def test_device_that_leaves_the_stream_is_lost(host, sampler) -> None:
    """The others are read further."""
    gone = "line.replace('\"neuron_device_index\":15', '\"neuron_device_index\":3')"
    host.streams(
        "neuron-monitor-trn2n.48xlarge.jsonl",
        reports=4,
        then=f"line = {gone}\nwhile True:\n"
        "    sys.stdout.write(line); sys.stdout.flush(); time.sleep(0.05)",
    )
    made = sampler(0, 15)
    until(lambda: "lost" in made.sample()[1])
    first, last = made.sample()
    assert last == {"device": 15, "lost": "neuron-monitor no longer lists device 15"}
    assert "utilization" in first


def test_device_that_leaves_the_driver_is_lost(host, sampler) -> None:
    """The driver's folder disappears."""
    host.driver(0, 1)
    made = sampler(0, 1)
    shutil.rmtree(host.folder / "sys/devices/virtual/neuron_device/neuron1")
    first, last = made.sample()
    assert last == {"device": 1, "lost": "the Neuron driver no longer has neuron1"}
    assert first["memory_used_bytes"] == 2 << 30


def test_without_monitor_and_driver(host) -> None:
    """Nothing can be read."""
    assert node.sampler(host.options, [0]) is None


def test_notes_say_that_the_monitor_is_missing(host) -> None:
    """Utilization comes of neuron-monitor only."""
    host.prints("neuron-ls", "neuron-ls-trn1.2xlarge.json")
    notes = node.probe(host.options)["notes"]
    assert notes["utilization"] == "neuron-monitor is not installed (package aws-neuronx-tools)"


def test_closing_ends_the_program(host) -> None:
    """Twice is harmless; neither process nor configuration file is left."""
    host.streams("neuron-monitor-trn2n.48xlarge.jsonl")
    made = node.sampler(host.options, [0])
    until(lambda: "utilization" in made.sample()[0])
    pid, configuration = made.monitor._child.pid, made.monitor._configuration
    made.close()
    made.close()
    assert not Path(f"/proc/{pid}").exists() and not configuration.exists()


def test_reading_takes_little_time(host, sampler) -> None:
    """16 devices with 8 cores each, as trn2.48xlarge: far below a tenth of a second."""
    host.streams("neuron-monitor-trn2n.48xlarge.jsonl")
    host.driver(*range(16))
    for device in range(16):
        for core in range(2, 8):
            folder = f"devices/virtual/neuron_device/neuron{device}/neuron_core{core}"
            host.write(f"{folder}/stats/memory_usage/device_mem/total", "1")
    made = sampler(*range(16))
    until(lambda: "utilization" in made.sample()[0])
    took = []
    for _ in range(5):
        began = time.perf_counter()
        made.sample()
        took.append(time.perf_counter() - began)
    print(f"a reading of 16 devices takes {min(took) * 1e3:.1f} ms")
    assert min(took) < 0.1
