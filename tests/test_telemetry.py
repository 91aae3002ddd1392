"""Telemetry of whole runs: energy by role and by domain, and what happens to devices and samplers.

The chips and what goes wrong with them are in `site_meter`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests_bench import Bench, measured, wait_for

SITE = Path(__file__).resolve().parent / "site_meter"
SUITE = """version: 1
deployments:
  - engine: metered
    hardware: meterchip
    %s
workloads: [{random: {input_tokens: 32, output_tokens: 16, format: text}}]
load: {concurrency: [1], repeats: 1, duration_s: %g, lengths: approximate}
telemetry: {interval_s: 0.05, idle_s: 0.3}
certification: {telemetry_gap_s: 0.6}
"""
ONE = "topology: {tp: 3}"
SPLIT = "pools: [{role: prefill}, {role: decode, topology: {tp: 2}}]"
# Moves the wall clock of one process once the file exists; the monotonic clock stays.
CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, at);
    const char *file = getenv("CLOCK_FILE");
    if (id == CLOCK_REALTIME && file && access(file, F_OK) == 0) at->tv_sec += 3600;
    return result;
}
"""


class Run:
    """`bench run` with the chips, and the folder with their faults."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.faults = bench.folder / "faults"
        self.faults.mkdir()
        path = os.pathsep.join(filter(None, (str(SITE), os.environ.get("PYTHONPATH"))))
        self.environment = {"METER_FAULTS": str(self.faults), "PYTHONPATH": path}
        self.code = 0
        self.said = ""

    def fault(self, name: str, text: str = "") -> None:
        """From now on this goes wrong."""
        (self.faults / name).write_text(text)

    def start(self, layout: str = ONE, seconds: float = 2.0, **more: str) -> Any:
        """Start it, and wait until it measures."""
        (self.bench.folder / "s.yaml").write_text(SUITE % (layout, seconds))
        process = self.bench.start("run", "s.yaml", **self.environment, **more)
        self.said = wait_for(process, 'phase="repeat 1/1"')
        return process

    def __call__(self, layout: str = ONE, fault: str = "", text: str = "", **more: Any) -> Any:
        """Run it, with a fault a second after it began to measure; returns its result."""
        process = self.start(layout, **more)
        if fault:
            time.sleep(0.5)
            self.fault(fault, text)
        _, err = process.communicate(timeout=60)
        self.said, self.code = self.said + err, process.returncode
        (result,) = measured(self.bench)
        return result


@pytest.fixture
def run(bench: Bench) -> Run:
    """A run that has not been started."""
    return Run(bench)


def _check(result: Any, name: str) -> tuple[str, str]:
    (found,) = [check for check in result["checks"] if check["name"] == name]
    return found["outcome"], found["evidence"]


def _mean(result: Any, metric: str) -> Any:
    return result["metrics"][metric]["mean"]


def test_energy_by_role_and_domain(run: Run) -> None:
    """100 W prefill, 500 W decode, 1000 W the host, for as long as the phase; never added."""
    result = run(SPLIT)
    seconds = _mean(result, "duration_s.whole")
    assert _mean(result, "energy_j.accelerator") == pytest.approx(600 * seconds, rel=1e-3)
    assert _mean(result, "energy_j.host") == pytest.approx(1000 * seconds, rel=1e-3)
    assert _mean(result, "idle_power_w.accelerator") == pytest.approx(600)
    assert _mean(result, "idle_power_w.host") == pytest.approx(1000)
    assert _mean(result, "energy_counter_ratio.accelerator") == pytest.approx(1, rel=0.01)
    for metric, watts, tokens in (
        ("energy_j_per_input_token.prefill", 100, "input_tokens"),
        ("energy_j_per_output_token.decode", 500, "output_tokens"),
    ):
        expected = watts * seconds / _mean(result, tokens)
        assert _mean(result, metric) == pytest.approx(expected, rel=1e-3)
    assert _check(result, "telemetry")[0] == _check(result, "accelerators")[0] == "ok"
    _check_files(run.bench.run_directory, result)


def _check_files(folder: Path, result: Any) -> None:
    """Each sample with host, role and device, as JSON line and in Parquet; devices in provenance
    and in short in the result.
    """
    (file,) = folder.glob("telemetry/*/localhost-meterchip.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert {(r["host"], r["role"], r["device"]) for r in rows} == {
        ("localhost", "prefill", 0),
        ("localhost", "decode", 1),
        ("localhost", "decode", 2),
    }
    (table,) = folder.glob("points/*/repeat-0/telemetry.parquet")
    found = pq.read_table(table).to_pylist()
    assert {r["hardware"] for r in found} == {"meterchip", "wallmeter", "cpu"}
    assert {r["power_w"] for r in found if r["hardware"] == "meterchip"} == {100, 200, 300}
    facts = json.loads((folder / "provenance.json").read_text())
    assert facts[f"deployment.{result['deployment']}.device.2.uuid"] == "METER-2"
    assert facts[f"deployment.{result['deployment']}.device.2.pcie.width"] == "16"
    assert facts["hardware.wallmeter.meter"] == "calibrated"
    assert result["devices"] == (
        "3 x Meter M1; driver 7.1; firmware f3; limit 700 W; uuid METER-0, METER-1, METER-2"
    )


@pytest.mark.parametrize(
    ("fault", "check", "evidence"),
    [
        ("lost-1", "telemetry", "meterchip 1 is lost: it has fallen off the bus"),
        ("hang", "telemetry", "meterchip: no sample for"),
        ("exit", "telemetry", "meterchip: its sampler was killed by signal 9"),
    ],
)
def test_a_fault_in_the_middle_of_a_point(run: Run, fault: str, check: str, evidence: str) -> None:
    """The point is measured, flagged, and says why."""
    result = run(fault=fault)
    outcome, text = _check(result, check)
    assert (result["state"], outcome) == ("done", "flagged"), result["checks"]
    assert evidence in text
    assert _mean(result, "output_tok_s.whole") > 0
    assert run.code in (0, 6)  # 6: this machine was too busy.
    assert _check(result, "accelerators")[0] == "ok"


def test_a_sampler_that_raises(run: Run) -> None:
    """The point is measured and kept. Then the run ends with the plugin's error."""
    result = run(fault="raise")
    assert (result["state"], run.code) == ("done", 3)
    assert _check(result, "telemetry")[0] == "flagged"
    error = run.said.strip().splitlines()[-2]
    assert error.startswith("error: hardware 'meterchip' (meterchip 1.0): its sampler failed")
    assert "the driver answers nonsense" in error


def test_anomalies_from_the_beginning(run: Run) -> None:
    """An idle device, a lowered limit (told before the run), a hot one, a slow clock, somebody
    else's process. That the power cap is reached is recorded, and flags nothing.
    """
    for name in ("idle-2", "limit-1", "thermal-1", "slow-1", "cap"):
        run.fault(name)
    run.fault("pid", str(os.getpid()))
    result = run()
    outcome, text = _check(result, "accelerators")
    assert outcome == "flagged"
    assert "meterchip 2 was idle while the others worked" in text
    assert "the power limit of meterchip 1 is 600 W, the board's default 700 W" in text
    assert "meterchip 1 was slowed down in 100.0 % of the samples (thermal: hardware)" in text
    assert "the clock of meterchip 1 is 50 % of the median" in text
    assert f"(pid {os.getpid()})" in text
    assert "power cap" not in text
    assert _mean(result, "power_cap_share.accelerator") == 1.0
    assert _mean(result, "clock_hz.accelerator") == pytest.approx(2.5e9 / 3)
    assert "warning: meterchip 1: its power limit is 600 W" in run.said


def test_a_step_of_the_wall_clock(run: Run, tmp_path: Path) -> None:
    """An hour: durations are not affected, and the point says so."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler here")
    (tmp_path / "clock.c").write_text(CLOCK)
    library, file = tmp_path / "clock.so", tmp_path / "faults" / "clock"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", library, tmp_path / "clock.c", "-ldl"], check=True
    )
    result = run(fault="clock", LD_PRELOAD=str(library), CLOCK_FILE=str(file))
    outcome, text = _check(result, "client paused")
    assert (result["state"], outcome) == ("done", "flagged")
    assert "wall clock set by 3600000" in text
    assert 2.0 <= _mean(result, "duration_s.whole") < 4.0
    assert _check(result, "telemetry")[0] == "ok"
    seconds = _mean(result, "duration_s.whole")
    assert _mean(result, "energy_j.accelerator") == pytest.approx(600 * seconds, rel=1e-3)


def test_samples_survive_a_kill(run: Run) -> None:
    """`bench` is killed: what was sampled until then is on disk, and nothing is left running."""
    process = run.start(seconds=30)
    time.sleep(1.0)
    process.kill()
    process.communicate()
    (file,) = run.bench.run_directory.glob("telemetry/*/localhost-meterchip.jsonl")
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(rows) >= 3 * 15


def test_watch_chooses_what_is_sampled_beside(cli) -> None:
    """A name that does not exist is an error; with what is installed."""
    done = cli("plan", "--engine", "llamacpp", "--model", "smollm2", "--watch", "wallmetre")
    assert done.code == 2
    assert "unknown hardware 'wallmetre'" in done.complaint[0]


def test_nothing_beside(bench: Bench) -> None:
    """``--watch none``."""
    run = Run(bench)
    (bench.folder / "s.yaml").write_text(SUITE % (ONE, 1.0))
    done = bench("run", "s.yaml", "--watch", "none", **run.environment)
    assert done.code in (0, 6), done.err
    names = [file.name for file in bench.run_directory.glob("telemetry/*/*.jsonl")]
    assert names == ["localhost-meterchip.jsonl"]
    (result,) = measured(bench)
    assert _mean(result, "energy_j.accelerator") > 0
    assert "energy_j.host" not in result["metrics"]


def test_settings_have_reasons(bench: Bench) -> None:
    """``bench plan --explain`` names the plugin and the reason; launchers get nodes and groups."""
    run = Run(bench)
    (bench.folder / "s.yaml").write_text(SUITE % (ONE, 1.0))
    done = bench("plan", "s.yaml", "--explain", **run.environment)
    assert "METER_DEVICES" in done.out and "meterchip: own chips only" in done.out, done
    data = json.loads(bench("plan", "s.yaml", "--json", **run.environment).out)
    (process,) = data["deployments"][0]["launch"]["processes"]
    assert (process["devices"], process["groups"]) == (["/dev/meter"], ["meter"])
