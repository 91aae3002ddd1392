"""The benchmarks run, and their reports are complete. The figures are not judged."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import numpy as np
import pytest

from tokenbench.calibrate.ground_truth import REQUEST_DTYPE, Truth

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
COMPILED = any(map(shutil.which, ("cc", "gcc", "clang")))
CORES = sorted(os.sched_getaffinity(0))
needs_both = [
    pytest.mark.skipif(not COMPILED, reason="no C compiler"),
    pytest.mark.skipif(len(CORES) < 2, reason="one core: server and client need one each"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of one short run at concurrency 4, without peers."""
    file = tmp_path_factory.mktemp("benchmark") / "report.json"
    options = [
        "--concurrency",
        "4",
        "--seconds",
        "2",
        "--repeats",
        "1",
        "--no-peers",
        "--one-token",
    ]
    cores = ["--server-core", str(CORES[0]), "--client-core", str(CORES[1])]
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "client.py"), *options, *cores, "--json", str(file)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "CPU per token, ours/c at 64" in done.stdout
    found: dict[str, Any] = json.loads(file.read_text())
    return found


class TestShortRun:
    pytestmark = needs_both

    def test_all_clients_are_measured_at_the_same_load(self, report: dict[str, Any]) -> None:
        """Same requests, same tokens, none failed, by each client's and the server's count."""
        samples = {s["client"]: s for s in report["samples"]}
        assert set(samples) == {"c", "bare", "ours"}
        for sample in samples.values():
            assert sample["requests"] == 8
            assert sample["tokens"] == 8 * 128
            assert sample["failed"] == sample["miscounted"] == 0

    def test_every_request_is_matched_with_its_truth(self, report: dict[str, Any]) -> None:
        """Also in the one-token run, where thousands come on each connection."""
        for sample in [*report["samples"], *report["one_token"]]:
            assert sample["unmatched"] == sample["miscounted"] == 0, sample
            assert sample["requests"] > 0
            assert {"ttft_error_mean_ms", "ttft_error_p99_ms", "e2e_error_p99_ms"} <= set(
                sample["errors"]
            )
        for sample in report["samples"]:
            assert {"itl_error_p99_ms", "tpot_error_mean"} <= set(sample["errors"])

    def test_costs_ratios_and_targets_are_there(self, report: dict[str, Any]) -> None:
        """Every field of the report that the README names."""
        assert {"schema", "date", "machine", "settings"} <= set(report)
        assert report["ratios"]["ours/c at 4"] > 0
        assert all({"name", "limit", "value", "met"} <= set(t) for t in report["targets"])
        for sample in report["samples"]:
            assert sample["us_per_token"] > 0
            assert sample["rss_bytes"] > 0
            assert sample["start_s"] > 0
            assert sample["server"]["ttft_mean_ms"] >= 50
            assert sample["server"]["tpot_mean_ms"] > 0


def _accuracy() -> ModuleType:
    path = BENCHMARKS / "accuracy.py"
    spec = importlib.util.spec_from_file_location("benchmark_accuracy", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_errors_are_those_that_a_client_made() -> None:
    """Two requests of two tokens; one client is exact, one reads the first token 1 ms late."""
    accuracy = _accuracy()
    ms = 1_000_000
    rows = np.zeros(2, REQUEST_DTYPE)
    rows["id"], rows["sent"] = [7, 3], 2
    rows["arrival_ns"] = [0, 100 * ms]
    known = Truth(
        ttft_ns=50 * ms,
        itl_ns=10 * ms,
        requests=rows,
        offsets=np.array([0, 2]),
        send_ns=np.array([50, 60, 150, 160]) * ms,
        late_ns=np.zeros(4, np.int64),
    )
    exact = accuracy.ClientTimestamps(
        id=np.array([3, 7]),
        sent_ns=np.array([100, 0]) * ms,
        first_ns=np.array([150, 50]) * ms,
        last_ns=np.array([160, 60]) * ms,
        tokens=np.array([2, 2]),
        offsets=np.array([0, 2]),
        chunk_ns=np.array([150, 160, 50, 60]) * ms,
    )
    matched, missing = accuracy.match(known, exact)
    assert missing == 0
    assert not any(accuracy.errors(matched, exact).values())
    late = attrs.evolve(
        exact,
        first_ns=exact.first_ns + ms,
        chunk_ns=exact.chunk_ns + np.array([1, 0, 1, 0]) * ms,
    )
    found = accuracy.errors(matched, late)
    assert found["ttft_error_mean_ms"] == found["itl_error_p99_ms"] == 1.0
    assert found["tpot_error_mean"] == pytest.approx(0.1)
    assert found["e2e_error_mean_ms"] == 0
    stranger = attrs.evolve(exact, id=np.array([3, 8]))
    assert accuracy.match(known, stranger)[1] == 1


def test_a_whole_run_is_measured() -> None:
    """Its start and its memory, from real runs of the command; the figures are not judged."""
    options = ["--repeats", "1", "--few", "60", "--many", "120"]
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "bench_run.py"), *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "start to first request",
        "memory of all processes, 60 requests",
        "memory of all processes, 120 requests",
        "growth",
    ]
    assert float(lines[1].split()[-2]) > 50
