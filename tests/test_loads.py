"""Open loops, objectives and searches, end to end against a server whose limits are known."""

from __future__ import annotations

import json

import pytest
from tests_bench import measured

# What may invalidate a measurement by the client's fault.
CLIENT = ("loop_delay_share", "dispatch_delay_share", "client_cpu_share", "offered_load")
QUICK = ("--engine", "scripted", "--workload", "random:input_tokens=20,output_tokens=10")


def test_an_open_loop_is_measured(bench) -> None:
    """Arrivals are sent when they are due, whatever is in flight; the level says its process."""
    done = bench("run", *QUICK, "--rate", "20,40", "--arrival", "constant", "--duration", "3")
    assert done.code in (0, 6), done.err
    first, second = measured(bench)
    assert first["level"]["rate_per_s"] == 20.0
    assert (first["level"]["arrival"], first["level"]["concurrency"]) == ("constant", None)
    assert first["metrics"]["requests_ok"]["mean"] == 60
    assert second["metrics"]["requests_ok"]["mean"] == 120
    assert first["metrics"]["ttft_from_schedule_s.p50"]["mean"] > 0
    assert first["point"] != second["point"]


def test_a_trace_is_replayed(bench) -> None:
    """As many requests as stamps; a point is known by the stamps, not by the file's path."""
    for name, timestamps in (
        ("a", "0 0.1 0.2 0.9"),
        ("b", "0 0.1 0.2 0.9"),
        ("c", "0 0.1 0.3 0.9"),
    ):
        (bench.folder / name).write_text(timestamps.replace(" ", "\n"))
    plans = {}
    for name in "abc":
        done = bench("plan", *QUICK, "--rate", "4", "--trace", name, "--json")
        assert done.code == 0, done.err
        (plans[name],) = json.loads(done.out)["deployments"][0]["points"]
    assert plans["a"]["id"] == plans["b"]["id"] != plans["c"]["id"]
    done = bench("run", *QUICK, "--rate", "4", "--trace", "a", "--duration", "5")
    assert done.code in (0, 6), done.err
    assert measured(bench)[0]["metrics"]["requests_ok"]["mean"] == 4


def test_goodput_counts_what_is_within_the_objectives(bench) -> None:
    """All requests of a quick server, none of a slow one."""
    quick = bench("run", *QUICK, "--duration", "2", "--slo", "ttft<5s", "--name", "quick")
    assert quick.code in (0, 6), quick.err
    (result,) = measured(bench)
    metrics = result["metrics"]
    rate, good = metrics["req_s.whole"]["mean"], metrics["goodput_req_s.whole"]["mean"]
    assert good == pytest.approx(rate)
    assert "goodput" in quick.out


def test_the_largest_concurrency_that_holds_is_found(bench) -> None:
    """The scripted server holds any TTFT that is generous and none that is impossible. A client
    that a busy machine holds up is a reason of its own not to hold; here it only flags.
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
    assert found["found"] == 8
    assert [trial["value"] for trial in found["trials"]] == [1, 2, 4, 8]
    assert "largest load that meets ttft_p99<10000ms: 8 requests in flight" in done.out


def test_a_search_that_finds_nothing_says_why(bench) -> None:
    """Each load that was tried, and what did not hold."""
    done = bench(
        *("run", *QUICK, "--find", "max-concurrency", "--slo", "ttft_p99<1us", "--allow-invalid"),
        *("--requests", "4"),
    )
    assert done.code == 0, done.err
    assert "no load tried" in done.out and "ttft_p99<0.001ms:" in done.out


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--find", "max-rate"), "--find: a search needs objectives"),
        (("--find", "max-rate", "--slo", "ttft<1s", "--rate", "3"), "searches for the load"),
        (("--slo", "fast"), "invalid objective 'fast'"),
        (("--rate", "0"), "rate: expected more than 0"),
        (("--rate", "1", "--arrival", "weekly"), "arrival: expected one of"),
        (("--rate", "1", "--arrival", "replay"), "replay needs a trace"),
        (("--rate", "1", "--trace", "absent"), "cannot read the trace absent"),
        (("--rate", "x"), "--rate: expected numbers"),
    ],
)
def test_loads_that_make_no_sense(bench, args: tuple[str, ...], said: str) -> None:
    """Two lines, exit code 2, no run directory."""
    done = bench("run", *QUICK, *args)
    assert (done.code, said in done.complaint[0]) == (2, True), done.err
    assert not (bench.folder / "runs").exists()


def test_limits_of_certification_are_the_suites(bench) -> None:
    """A limit that cannot be kept flags; one that is not there is refused with its path."""
    suite = (
        "deployments: [{engine: scripted}]\nload: {requests: 20, concurrency: [2]}\n"
        "workloads: [{random: {input_tokens: 16, output_tokens: 10}}]\n"
    )
    (bench.folder / "s.yaml").write_text(
        suite + "certification: {client_cpu_share: {flag: 0.000001, invalid: null}}\n"
    )
    done = bench("run", "s.yaml", "--allow-invalid")
    assert done.code == 0, done.err
    (check,) = [c for c in measured(bench)[0]["checks"] if c["name"] == "client CPU"]
    assert (check["outcome"], check["flag_limit"]) == ("flagged", 0.000001)
    (bench.folder / "s.yaml").write_text(suite + "certification: {client_cpu: {flag: 1}}\n")
    done = bench("plan", "s.yaml")
    assert done.code == 2
    assert "certification.client_cpu" in done.complaint[0]
