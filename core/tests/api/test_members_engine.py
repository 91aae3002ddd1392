"""Engine and ServerClient: when core calls each member, with what, and the use of its result."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import attrs
import pyarrow.parquet as pq
import pytest

from tokenbench.api import Endpoint, EndpointSpec, EngineError, UsageError
from tokenbench.launch.control import ControlClient
from tokenbench.launch.ports import free_port
from tokenbench.run.scrape import Scrape
from tokenbench.suite.schema import LoadRequest, Suite

from .conftest import WholeRun, plan_of, suite

_URL = "http://{server.0.host}:{server.0.port:http}"


@pytest.mark.covers("Engine.plan")
def test_plan_receives_the_request_and_its_result_is_started(whole_run: WholeRun) -> None:
    """The request has model, hardware and needs; the launcher gets the plan."""
    request = whole_run.notes.of("Engine.plan")[0]["request"]
    assert (request["model"], request["served_name"]) == ("recording", "recording")
    assert request["weights"]["source"] == "hub:rec/weights"
    assert request["hardware"] == {"kind": "recording", "sku": "REC-1", "count": 1, "chip": None}
    assert request["needs"]["context_tokens"] == 64
    assert request["needs"]["concurrency"] == 2
    assert request["layout"]["pools"][0]["role"] == "server"
    (started,) = whole_run.notes.of("Launcher.allocate")
    (process,) = started["resources"]["processes"]
    assert process["argv"][1:3] == ["-m", "tokenbench_testing.server"]
    assert process["flags"] == {"--itl-s": 0.001}


def test_a_plan_is_made_once_per_deployment(notes) -> None:
    """The same suite gives the same request."""
    for count in (1, 2):
        plan_of(suite(evals=False))
        assert len(notes.of("Engine.plan")) == count
    first, second = notes.of("Engine.plan")
    assert first == second


def test_a_usage_error_of_plan_is_raised_unchanged(notes) -> None:
    """With its hint."""
    with pytest.raises(UsageError, match="rejected on purpose") as caught:
        plan_of(_with_engine(rejects=True))
    assert caught.value.hint == "leave out rejects"


def _with_engine(*, name: str = "recording", **options: Any) -> Suite:
    """A suite whose engine has these options."""
    return suite(named=name, engine=options, evals=False)


@pytest.mark.covers("Engine.dialect")
def test_the_dialect_determines_requests(whole_run: WholeRun) -> None:
    """Its codec encodes every request with its fields."""
    # While planning, before the start and for the start.
    first, *others = whole_run.notes.of("Engine.dialect")
    assert others == [first] * 2
    call = first
    assert call["request"]["served_name"] == "recorded"
    assert call["request"]["needs"]["concurrency"] == 2
    (point, _) = whole_run.plan.deployments[0].points
    folder = whole_run.directory.phase(point.id, "repeat-0")
    (file,) = folder.glob("job*.json")
    job = json.loads(file.read_text())
    assert job["codec"] == "recording-lines"
    targets = [call["target"] for call in whole_run.notes.of("Codec.encode")]
    assert all(target["dialect"]["extra_body"] == {"marked": True} for target in targets)
    assert {target["model"] for target in targets} == {"recorded"}


@pytest.mark.covers("Engine.ready")
def test_ready_is_polled(serving, notes) -> None:
    """False and ConnectionError mean "not yet". Then one token is generated."""
    made = serving(_with_engine(ready="no/gone/no/yes"))
    notes.file.unlink()  # The calls while planning.
    made.start()
    assert len(notes.of("Engine.ready")) == 4
    # The one-token generation is tried again while the process is not listening yet.
    order = notes.order("Engine.ready", "Codec.encode", "Engine.version")
    ready, generated = order[:4], order[4:-1]
    assert (ready, order[-1]) == (["Engine.ready"] * 4, "Engine.version")
    assert generated and set(generated) == {"Codec.encode"}
    assert notes.of("Codec.encode")[0]["turn"]["max_tokens"] == 1


def test_an_unready_server_is_an_error(serving, notes) -> None:
    """After the plan's time limit, with the end of the log."""
    made = serving(_with_engine(ready="no", start_timeout_s=1.0))
    notes.file.unlink()
    with pytest.raises(
        EngineError, match=r"not become ready within 1 s.*; its log says: listening"
    ):
        made.start()
    assert not notes.of("Codec.encode")


@pytest.mark.covers("Engine.planned_version")
def test_the_planned_version_is_part_of_the_identity(notes) -> None:
    """Another version is another point."""
    one = plan_of(_with_engine())[0].deployments[0].points[0]
    other = plan_of(_with_engine(planned="planned 2"))[0].deployments[0].points[0]
    assert one.canonical["engine_version"] == "planned 1"
    assert other.canonical["engine_version"] == "planned 2"
    assert one.canonical["engine_options"] == other.canonical["engine_options"]
    assert one.id != other.id
    assert notes.of("Engine.planned_version")


@pytest.mark.covers("Engine.version", "Engine.facts")
def test_version_and_facts_are_recorded(whole_run: WholeRun) -> None:
    """The version in every result and event, both in the provenance."""
    assert {r.engine_version for r in whole_run.outcome.results} == {"scripted 1"}
    (ready,) = whole_run.notes.of("bench_deployment_ready")
    assert ready["event"]["engine_version"] == "scripted 1"
    facts = json.loads((whole_run.directory.path / "provenance.json").read_text())
    prefix = f"deployment.{whole_run.plan.deployments[0].id}"
    assert facts[f"{prefix}.engine_version"] == "scripted 1"
    assert facts[f"{prefix}.build"] == "build 7"
    order = whole_run.notes.order("Engine.ready", "Engine.version", "Engine.facts")
    assert order == ["Engine.ready", "Engine.version", "Engine.facts"]


def test_a_failing_version_is_none(serving) -> None:
    """The server is still used."""
    made = serving(_with_engine(silent="version"))
    made.start()
    assert made.version is None
    assert made.facts == {"build": "build 7"}


def test_failing_facts_are_empty(serving) -> None:
    """The server is still used."""
    made = serving(_with_engine(silent="facts"))
    made.start()
    assert made.facts == {}


@pytest.mark.covers("Engine.quiescent")
def test_settle_waits_for_a_quiescent_server(serving, notes) -> None:
    """Until it is True; None counts as True, ConnectionError as failure."""
    made = serving(_with_engine(quiet="no/no/yes"))
    made.start()
    assert made.settle() is None
    assert len(notes.of("Engine.quiescent")) == 3
    unknown = serving(_with_engine(quiet="unknown"))
    unknown.start()
    assert unknown.settle() is None
    assert len(notes.of("Engine.quiescent")) == 4
    gone = serving(_with_engine(quiet="gone"))
    gone.start()
    assert "did not answer" in gone.settle()


@pytest.mark.covers("Engine.reset_cache")
def test_the_cache_is_reset_between_measurements(whole_run: WholeRun) -> None:
    """Before and after each repeat (two per point) and the eval, after waiting for quiescence."""
    order = whole_run.notes.order("Engine.quiescent", "Engine.reset_cache")
    assert order == ["Engine.quiescent", "Engine.reset_cache"] * 10
    members = ("Engine.reset_cache", "Workload.sessions", "Engine.counters")
    calls = whole_run.notes.order(*members, "bench_point_started", "bench_point_finished")
    begin = calls.index("bench_point_started")
    settled = ["Engine.reset_cache", "Engine.counters"]
    # Scrapes during a repeat follow its sessions.
    during = [name for name, _ in itertools.groupby(calls[begin:])]
    assert during[:4] == ["bench_point_started", "Workload.sessions", *settled]
    assert "Workload.sessions" in during[4:6] and "Engine.reset_cache" in during[4:8]


def test_undeclared_methods_are_not_called(serving, notes) -> None:
    """Neither counters nor reset_cache."""
    made = serving(_with_engine(name="recording-bare"))
    made.start()
    assert made.settle() is None
    assert made.scrape() == Scrape()
    assert not notes.of("Engine.reset_cache") and not notes.of("Engine.counters")


def test_settle_fails_if_the_cache_was_not_reset(serving) -> None:
    """reset_cache() returned False."""
    made = serving(_with_engine(empties=False))
    made.start()
    assert made.settle() == "the server did not empty its prefix cache"


@pytest.mark.covers("Engine.counters")
def test_counters_are_scraped_around_each_repeat(whole_run: WholeRun) -> None:
    """From the page's samples; stored, and compared with the client's counts."""
    calls = whole_run.notes.of("Engine.counters")
    assert len(calls) >= 8
    for call in calls:
        (page,) = call["pages"]
        assert (page["role"], page["index"]) == ("server", 0)
        assert page["samples"]["scripted_generated_tokens_total"]
    (point, _) = whole_run.plan.deployments[0].points
    folder = whole_run.directory.phase(point.id, "repeat-0")
    scrapes = json.loads((folder / "counters.json").read_text())
    assert scrapes["before"]["preemptions"] == scrapes["after"]["preemptions"] == 3
    kept = [
        pq.read_table(file)
        for file in whole_run.directory.path.glob("points/*/repeat-*/counters.parquet")
    ]
    assert len(kept) == 4 and all(table.num_rows >= 2 for table in kept)
    assert len(calls) == sum(table.num_rows for table in kept)
    table = pq.read_table(folder / "counters.parquet")
    assert table["t"].to_pylist() == sorted(table["t"].to_pylist())
    for name in ("prompt_tokens", "generated_tokens"):
        assert table[name][0].as_py() == scrapes["before"][name]
        assert table[name][-1].as_py() == scrapes["after"][name]
    assert set(table["role"].to_pylist()) == {"server"} and not any(table["index"].to_pylist())
    assert table["drafts"].null_count == table.num_rows
    sent = scrapes["after"]["generated_tokens"] - scrapes["before"]["generated_tokens"]
    assert sent > 0
    # The codec reports 100 input tokens more than the server counts: a check detects that.
    checks = {check.name: check for check in whole_run.outcome.results[0].checks}
    assert checks["server agreement"].outcome.value == "invalid"


def test_counters_get_the_pages_of_all_endpoints(serving, notes) -> None:
    """With their roles, without endpoints that have no metrics page; then each page alone."""
    made = serving(_with_engine())
    more = (EndpointSpec(), EndpointSpec(metrics_path=None), EndpointSpec(role="router", url=_URL))
    made.plan = attrs.evolve(made.plan, endpoints=more)
    made.start()
    scrape = made.scrape()
    assert scrape.counters is not None
    asked = [[page["role"] for page in call["pages"]] for call in notes.of("Engine.counters")]
    assert asked == [["server", "router"], ["server"], ["router"]]
    assert [one.role for one in scrape.processes] == ["server", "router"]
    assert 0 < scrape.t_ns <= time.monotonic_ns()


def test_a_scrape_that_fails_says_why(serving) -> None:
    """It is not the same as an engine without counters."""
    made = serving(_with_engine())
    made.start()
    made.deployment.stop()
    scrape = made.scrape()
    assert scrape.counters is None
    assert scrape.error is not None and "/metrics does not answer" in scrape.error


@pytest.mark.covers("Engine.diagnose")
def test_a_diagnosis_replaces_the_lines_of_the_log(serving, notes) -> None:
    """Its cause and its hint are the two lines; without one, the log speaks."""
    made = serving(_with_engine(script="--itl-s soon"))
    with pytest.raises(EngineError) as caught:
        made.start()
    assert caught.value.message.endswith("exit code 2: an option of the script is wrong")
    assert caught.value.hint == "leave it out"
    assert "'soon'" in notes.of("Engine.diagnose")[0]["log"]
    other = serving(_with_engine(script="--no-such-option"))
    with pytest.raises(EngineError, match="unrecognized arguments: --no-such-option"):
        other.start()


@pytest.mark.covers("Engine.phase")
def test_the_phase_of_a_start_is_shown(serving, notes) -> None:
    """Once, while it does not change; a start that takes too long ends with it."""
    made = serving(_with_engine(ready="/".join(["no"] * 25 + ["yes"])))
    shown: list[str] = []
    made._show_phase = shown.append
    made.start()
    assert shown == ["opening the port"]
    assert len(notes.of("Engine.phase")) >= 2
    late = serving(_with_engine(ready="no", start_timeout_s=2.5))
    with pytest.raises(EngineError, match=r"within 2.5 s \(last seen: opening the port\)"):
        late.start()


def test_a_slow_engine_has_longer_control_calls(serving) -> None:
    """Its requests, and the members that make them."""
    made = serving(_with_engine(name="recording-slow"))
    made.start()
    assert made.control._timeout_s == 20.0
    assert made.engine._server_times == 4.0


@pytest.mark.covers("ServerClient.endpoints")
def test_methods_receive_all_endpoints(serving, notes) -> None:
    """The first one receives the load."""
    made = serving(_with_engine(ready="no/yes"))
    more = (EndpointSpec(), EndpointSpec(role="router", url="http://127.0.0.1:1"))
    made.plan = attrs.evolve(made.plan, endpoints=more)
    made.start()
    made.settle()
    for member in ("ready", "version", "facts", "quiescent", "reset_cache"):
        calls = notes.of(f"Engine.{member}")
        assert calls, member
        for call in calls:
            first, second = call["endpoints"]
            assert first["url"] == made.url and first["role"] == "server"
            assert (second["role"], second["index"]) == ("router", 0)


@pytest.mark.covers("ServerClient.post")
def test_a_post_without_a_response_raises_connection_error() -> None:
    """Like a GET."""
    endpoint = Endpoint(role="server", index=0, url=f"http://127.0.0.1:{free_port()}")
    client = ControlClient((endpoint,))
    with pytest.raises(ConnectionError, match="no response from"):
        client.post("/reset", {"all": True})
    client.close()


def test_needs_have_the_largest_concurrency(notes) -> None:
    """Of all load levels in the suite."""
    asked = attrs.evolve(suite(evals=False), load=LoadRequest(concurrency=(4, 16, 8)))
    (deployment,) = plan_of(asked)[0].deployments
    assert deployment.request.needs.concurrency == 16
