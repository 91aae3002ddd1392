"""Metrics pages of real servers: parsing, counters, and the metrics made of them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests_bench import measured, wait_for

from tokenbench.api import parse_metrics
from tokenbench.launch.ports import free_port


def test_a_real_page_of_vllm(shared_data: Callable[[str], Path]) -> None:
    """vLLM 0.23.0 on an H100: every sample that prometheus_client finds, with type and labels."""
    text = shared_data("h100/vllm_0.23_metrics.txt").read_text()
    page = parse_metrics(text)
    count = 0
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            count += 1
            matching = page.series(sample.name, **sample.labels)
            assert sample.value in [one.value for one in matching], sample
    assert sum(map(len, page.samples.values())) == count > 400
    assert page.by("vllm:request_success_total", "finished_reason", engine="0") == {
        "stop": 0.0,
        "length": 2451.0,
        "abort": 0.0,
        "error": 0.0,
        "repetition": 0.0,
    }
    queued = page.histogram("vllm:request_queue_time_seconds")
    assert queued is not None and queued.count == 2451.0
    assert queued.mean == pytest.approx(9325.247984961008 / 2451.0)
    assert page.max("vllm:kv_cache_usage_perc") == pytest.approx(0.0386, abs=1e-4)


@pytest.fixture
def address() -> Iterator[str]:
    """The address of a scripted server with the metrics of vLLM."""
    port = free_port()
    argv = [sys.executable, "-m", "tokenbench_testing.server", "--port", str(port)]
    options = ["--counters", "vllm", "--itl-s", "0.02", "--cached-share", "0.25"]
    server = subprocess.Popen([*argv, *options], stderr=subprocess.PIPE, text=True)
    wait_for(server, "listening")
    yield f"http://127.0.0.1:{port}"
    server.kill()
    server.communicate()


def test_counters_through_a_run(bench: Any, address: str) -> None:
    """From the server's page to results and `counters.parquet`; they agree with the client."""
    done = bench(
        *("run", "--engine", f"openai:base_url={address},model=m,server=vllm"),
        *("--workload", "random:input_tokens=16,output_tokens=64"),
        *("--concurrency", "4", "--requests", "12", "--allow-invalid"),
    )
    assert done.code == 0, done.err
    (result,) = measured(bench)
    metrics = {name: estimate["mean"] for name, estimate in result["metrics"].items()}
    assert metrics["cached_prompt_share.server"] == 0.25
    assert 0 < metrics["running_requests.server"] <= 4
    assert metrics["waiting_requests.server"] == metrics["queue_time_s.server"] == 0
    assert metrics.get("acceptance_length.server") is None  # It does not speculate.
    repeats = sorted((bench.run_directory / "points" / result["point"]).glob("repeat-*"))
    assert len(repeats) == result["repeats"]
    for folder in repeats:
        table = pq.read_table(folder / "counters.parquet")
        records = pq.read_table(folder / "records.parquet")
        grown = {
            name: table[name][-1].as_py() - table[name][0].as_py()
            for name in ("generated_tokens", "prompt_tokens", "queue_time_s.count")
        }
        assert grown["generated_tokens"] == sum(records["n_out"].to_pylist())
        assert grown["prompt_tokens"] == sum(records["n_in"].to_pylist())
        assert grown["queue_time_s.count"] == records.num_rows
        # Once a second between the scrapes before and after.
        t = table["t"].to_pylist()
        assert t == sorted(t) and t[0] < min(records["sent_first_ns"].to_pylist())
        assert t[-1] > max(records["last_ns"].to_pylist())
        assert table.num_rows >= 3
        kept = json.loads((folder / "counters.json").read_text())
        assert set(kept) == {"before", "after", "error"}
        assert kept["after"]["queue_time_s"]["count"] == table["queue_time_s.count"][-1].as_py()
