"""Open loops, objectives and searches, end to end against a scripted server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests_bench import measured

# Checks of the client: a busy machine may invalidate a measurement by them.
CLIENT = (
    "loop_delay_share",
    "dispatch_delay_share",
    "client_cpu_share",
    "offered_load",
    "foreign_load",
    "pause_share",
)
QUICK = ("--engine", "scripted", "--workload", "random:input_tokens=20,output_tokens=10")


def test_open_loop(bench) -> None:
    """Every arrival is sent, whatever is in flight; the level names the arrival process."""
    load = ("--rate", "20,40", "--arrival", "constant", "--duration", "3", "--allow-invalid")
    done = bench("run", *QUICK, *load)
    assert done.code == 0, done.err
    first, second = measured(bench)
    assert first["level"]["rate_per_s"] == 20.0
    assert (first["level"]["arrival"], first["level"]["concurrency"]) == ("constant", None)
    assert first["metrics"]["requests_ok"]["mean"] == 60
    assert second["metrics"]["requests_ok"]["mean"] == 120
    assert first["metrics"]["ttft_from_schedule_s.p50"]["mean"] > 0
    assert first["point"] != second["point"]


def test_trace_replay(bench) -> None:
    """One request per timestamp."""
    (bench.folder / "trace").write_text("0\n0.1\n0.2\n0.9\n")
    load = ("--rate", "4", "--trace", "trace", "--duration", "5", "--allow-invalid")
    done = bench("run", *QUICK, *load)
    assert done.code == 0, done.err
    assert measured(bench)[0]["metrics"]["requests_ok"]["mean"] == 4


def test_identity_of_a_point_depends_on_the_content_of_its_trace(cli, tmp_path: Path) -> None:
    """Not on the path of the file."""
    identities = {}
    for name, third in (("a", 0.2), ("b", 0.2), ("c", 0.3)):
        (tmp_path / name).write_text(f"0\n0.1\n{third}\n0.9\n")
        done = cli("plan", *QUICK, "--rate", "4", "--trace", name, "--json")
        assert done.code == 0, done.err
        (point,) = json.loads(done.out)["deployments"][0]["points"]
        identities[name] = point["id"]
    assert identities["a"] == identities["b"] != identities["c"]


def test_goodput_counts_requests_within_the_objectives(bench) -> None:
    """All short answers meet a limit on their duration, and no long ones."""
    done = bench(
        *("run", "--engine", "scripted:script='--itl-s 0.01'", "--slo", "e2e<0.5s"),
        *("--workload", "random:output_tokens=5", "--workload", "random:output_tokens=60"),
        *("--concurrency", "4", "--requests", "8", "--allow-invalid"),
        *("--reporter", "console:all=true"),
    )
    assert done.code == 0, done.err
    short, long = (result["metrics"] for result in measured(bench))
    assert short["goodput_req_s.whole"]["mean"] == pytest.approx(short["req_s.whole"]["mean"])
    assert long["goodput_req_s.whole"]["mean"] == 0 < long["req_s.whole"]["mean"]
    assert "goodput" in done.out


def test_search_finds_the_largest_concurrency(bench) -> None:
    """The scripted server meets the objective at every load. The client's checks only flag here:
    on a busy machine they would end the search.
    """
    never = "".join(f"  {name}: {{invalid: null}}\n" for name in CLIENT)
    (bench.folder / "s.yaml").write_text(
        "deployments: [{engine: scripted}]\nload: {requests: 16}\n"
        "workloads: [{random: {input_tokens: 20, output_tokens: 10}}]\n"
        f"certification:\n{never}"
    )
    find = ("--find", "max-concurrency", "--to", "8", "--slo", "ttft_p99<10s")
    done = bench("run", "s.yaml", *find, "--allow-invalid")
    assert done.code == 0, done.err
    (file,) = bench.run_directory.glob("find-*.json")
    found = json.loads(file.read_text())
    assert found["found"] == 8, found["trials"]
    assert [trial["value"] for trial in found["trials"]] == [1, 2, 4, 8]
    assert "largest load that meets ttft_p99<10000ms: 8 requests in flight" in done.out


def test_search_without_a_result(bench) -> None:
    """The report names each load and the objective it missed."""
    done = bench(
        *("run", *QUICK, "--find", "max-concurrency", "--slo", "ttft_p99<1us", "--allow-invalid"),
        *("--requests", "4"),
    )
    assert done.code == 0, done.err
    assert "no load tried" in done.out and "ttft_p99<0.001ms:" in done.out


def test_suite_sets_certification_limits(bench) -> None:
    """A client CPU share above the suite's limit is flagged."""
    (bench.folder / "s.yaml").write_text(
        "deployments: [{engine: scripted}]\nload: {requests: 20, concurrency: [2]}\n"
        "workloads: [{random: {input_tokens: 16, output_tokens: 10}}]\n"
        "certification: {client_cpu_share: {flag: 0.000001, invalid: null}}\n"
    )
    done = bench("run", "s.yaml", "--allow-invalid")
    assert done.code == 0, done.err
    (check,) = [c for c in measured(bench)[0]["checks"] if c["name"] == "client CPU"]
    assert (check["outcome"], check["flag_limit"]) == ("flagged", 0.000001)
