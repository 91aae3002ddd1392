"""Readings through tpu-info."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenbench_hardware_tpu import node
from tokenbench_hardware_tpu.node import telemetry, tpu_info

CAPTURED = Path(__file__).parent / "captured"
GIB = 1 << 30


def until(holds: Callable[[], bool], limit_s: float = 10.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def quick(monkeypatch) -> None:
    """Short pauses between runs."""
    monkeypatch.setattr(tpu_info, "PAUSE_S", 0.05)
    monkeypatch.setattr(tpu_info, "_LONG_PAUSE_S", 0.05)


def _read(file: str, chips: int) -> list[tuple[int | None, float | None]]:
    readings = tpu_info.Readings((CAPTURED / file).read_text())
    return [(readings.memory_of(c, chips), readings.duty_of(c, chips)) for c in range(chips)]


@pytest.mark.parametrize(
    "file",
    [
        "tpu-info-0.14.2-v6e.txt",
        "tpu-info-0.14.2-v6e-metrics.txt",
        "tpu-info-0.2.0-v6e.txt",
    ],
)
def test_output_of_versions_is_read(file) -> None:
    """The oldest and the newest, as printed by the program itself."""
    assert _read(file, 4) == [
        (10 * GIB, 0.0),
        (11 * GIB, 0.125),
        (12 * GIB, 0.25),
        (13 * GIB, 0.375),
    ]


def test_output_on_tpu7x_is_read() -> None:
    """Memory has a row for each core, duty cycle one for each chip."""
    assert _read("tpu-info-0.14.2-tpu7x-metrics.txt", 2) == [(21 * GIB, 0.0), (25 * GIB, 0.25)]


def test_examples_of_the_readme_are_read() -> None:
    """Of real TPUs. On a host of a slice, numbers are the slice's; the order is the host's."""
    first, *others = _read("tpu-info-0.14.2-readme-v6e.txt", 4)
    assert first == (int(18.45 * GIB), 1.0)
    assert others == [(int(10.4 * GIB), 1.0)] * 3
    assert _read("tpu-info-0.14.2-readme-slice.txt", 4)[1] == (int(9.26 * GIB), 1.0)
    assert _read("tpu-info-0.14.2-readme-metrics.txt", 8)[7] == (int(21.5 * GIB), 1.0)


def test_without_a_process_on_the_tpu_values_are_unknown() -> None:
    """tpu-info prints N/A: not measured, not 0."""
    assert _read("tpu-info-0.14.2-v6e-metrics-no-process.txt", 4) == [(None, None)] * 4


@pytest.mark.parametrize("chips", [3, 8])
def test_rows_that_do_not_fit_the_chips_are_not_used(chips) -> None:
    """A process with some of the chips reports only those: which, is not said."""
    assert _read("tpu-info-0.14.2-v6e.txt", chips) == [(None, None)] * chips


@pytest.mark.parametrize("text", ["", "garbage", "| 0 | 1 |", "┃ Device ┃ Duty cycle ┃\n│ 0 │ ?"])
def test_garbage_has_no_values(text) -> None:
    """Nor does it raise."""
    readings = tpu_info.Readings(text)
    assert (readings.memory_of(0, 1), readings.duty_of(0, 1)) == (None, None)


def test_truncated_output() -> None:
    """Rows that are there do not fit the chips any more."""
    whole = (CAPTURED / "tpu-info-0.14.2-v6e-metrics.txt").read_text()
    readings = tpu_info.Readings(whole[: whole.index("| 2      | 12.00")])
    assert readings.memory_of(0, 4) is None
    assert readings.duty_of(1, 4) == 0.125


def test_readings_of_a_host(host, sampler) -> None:
    """Four chips, of which three are sampled; one process has two."""
    host.chips(4)
    host.process(7, "/dev/vfio/1", "/dev/vfio/3")
    host.prints("tpu-info-0.14.2-v6e-metrics.txt")
    made = sampler(0, 1, 3)
    until(lambda: "utilization" in made.sample()[0])
    assert made.sample() == [
        {"device": 0, "pids": [], "memory_used_bytes": 10 * GIB, "utilization": 0.0},
        {"device": 1, "pids": [7], "memory_used_bytes": 11 * GIB, "utilization": 0.125},
        {"device": 3, "pids": [7], "memory_used_bytes": 13 * GIB, "utilization": 0.375},
    ]


def test_first_reading_has_values(host, sampler, monkeypatch) -> None:
    """The sampler waits for the first run, which takes seconds."""
    monkeypatch.setattr(telemetry, "READY_S", 5.0)
    host.chips(4)
    host.tool(
        "time.sleep(0.5)\n"
        f"sys.stdout.write(open({str(CAPTURED / 'tpu-info-0.14.2-v6e.txt')!r}).read())"
    )
    assert sampler(3).sample()[0]["utilization"] == 0.375


def test_without_tpu_info(host, sampler) -> None:
    """Processes are still seen."""
    host.chips(1)
    host.process(7, "/dev/vfio/0")
    assert sampler(0).sample() == [{"device": 0, "pids": [7]}]


def test_without_chips(host) -> None:
    """There is nothing to sample."""
    assert node.sampler(host.options, [0]) is None


@pytest.mark.usefixtures("quick")
def test_older_program_without_metrics(host, sampler) -> None:
    """It refuses the option (exit code 2): it is run without."""
    host.chips(4)
    host.tool(
        "if sys.argv[1:]: sys.exit('tpu-info: error: unrecognized arguments: --metric') or 2\n"
        f"sys.stdout.write(open({str(CAPTURED / 'tpu-info-0.2.0-v6e.txt')!r}).read())"
    )
    made = sampler(0)
    until(lambda: "utilization" in made.sample()[0])
    assert made.tool.problem is None


FAILURES = {
    # tpu-info 0.14.2 as a user who may not look at all processes.
    "nonzero": (
        "sys.exit(\"PermissionError: [Errno 13] Permission denied: '/proc/1/fd/0'\")",
        "tpu-info failed with code 1: PermissionError: [Errno 13] Permission denied",
    ),
    "killed": ("os.kill(os.getpid(), 9)", "tpu-info failed with code -9"),
    "hang": ("time.sleep(60)", "tpu-info did not end within 0.5 s"),
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("case", FAILURES)
def test_failing_program_leaves_rows(host, sampler, monkeypatch, capfd, case) -> None:
    """It is run again and again; `problem` says why there are no values."""
    monkeypatch.setattr(tpu_info, "TIMEOUT_S", 0.5)
    script, problem = FAILURES[case]
    host.chips(1)
    host.tool(script)
    made = sampler(0)
    until(lambda: made.tool.runs > 2)
    assert problem in made.tool.problem
    assert "no readings from tpu-info: " + problem in capfd.readouterr().err
    assert made.sample() == [{"device": 0, "pids": []}]


@pytest.mark.usefixtures("quick")
def test_program_of_another_architecture(host, sampler) -> None:
    """It cannot be started."""
    host.chips(1)
    host.tool("")
    (host.tools / "tpu-info").write_bytes(b"\x7fELF")
    made = sampler(0)
    until(lambda: made.tool.problem is not None)
    assert "tpu-info cannot be started" in made.tool.problem


def test_old_reading_is_not_used(host, sampler, monkeypatch) -> None:
    """A run that hangs: values end after a while, rows stay."""
    monkeypatch.setattr(tpu_info, "FRESH_S", 0.3)
    monkeypatch.setattr(tpu_info, "PAUSE_S", 0.05)
    host.chips(4)
    done = host.folder / "done"
    host.tool(
        f"if os.path.exists({str(done)!r}): time.sleep(60)\n"
        f"open({str(done)!r}, 'w').close()\n"
        f"sys.stdout.write(open({str(CAPTURED / 'tpu-info-0.14.2-v6e.txt')!r}).read())"
    )
    made = sampler(0)
    until(lambda: "utilization" in made.sample()[0])
    until(lambda: made.sample() == [{"device": 0, "pids": []}], limit_s=3.0)


def test_chip_that_disappears_is_lost(host, sampler) -> None:
    """The others are read further."""
    host.chips(4)
    host.prints("tpu-info-0.14.2-v6e-metrics.txt")
    made = sampler(0, 1)
    until(lambda: "utilization" in made.sample()[0])
    shutil.rmtree(host.folder / "sys/bus/pci/devices/0000:00:05.0")
    first, second = made.sample()
    assert second == {"device": 1, "lost": "its PCI device 0000:00:05.0 is no longer in /sys"}
    assert first["utilization"] == 0.0


def test_closing_ends_a_run(host) -> None:
    """Twice is harmless; the program does not outlive the sampler."""
    host.chips(1)
    pid_file = host.folder / "pid"
    host.tool(f"open({str(pid_file)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)")
    made = node.sampler(host.options, [0])
    until(lambda: pid_file.exists() and pid_file.read_text() != "")
    made.close()
    made.close()
    assert not Path(f"/proc/{pid_file.read_text()}").exists()


def test_reading_takes_little_time(host, sampler) -> None:
    """Eight chips: what is slow runs in threads."""
    host.chips(8)
    for pid in range(1, 200):
        host.process(pid, "/dev/null", "socket:[1]")
    host.tool("time.sleep(60)")
    made = sampler(*range(8))
    took = []
    for _ in range(5):
        began = time.perf_counter()
        made.sample()
        took.append(time.perf_counter() - began)
    print(f"a reading of 8 chips takes {min(took) * 1e3:.2f} ms")
    assert min(took) < 0.1
