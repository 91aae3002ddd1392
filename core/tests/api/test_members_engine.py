"""Engine and Server: when core calls each member, its arguments, and the use of its result."""

from __future__ import annotations

import itertools
import json
from typing import Any

import attrs
import pytest

from tokenbench.api import Endpoint, EndpointSpec, EngineError, UsageError
from tokenbench.launch.control import ControlClient
from tokenbench.launch.ports import free_port
from tokenbench.run.running_server import Scrape
from tokenbench.suite.schema import LoadRequest, Suite

from .conftest import WholeRun, plan_of, suite


@pytest.mark.covers("Engine.plan")
def test_plan_receives_the_request_and_its_result_is_started(whole_run: WholeRun) -> None:
    """The request has model, hardware and needs; the launcher gets the plan."""
    request = whole_run.notes.of("Engine.plan")[0]["request"]
    assert (request["model"], request["served_name"]) == ("recording", "recording")
    assert request["weights"]["source"] == "hub:rec/weights"
    assert request["hardware"] == {"kind": "recording", "sku": "REC-1", "count": 1}
    assert request["needs"]["context_tokens"] == 64
    assert request["needs"]["concurrency"] == 2
    assert request["layout"]["pools"][0]["role"] == "server"
    (started,) = whole_run.notes.of("Launcher.start")
    (process,) = started["plan"]["processes"]
    assert process["argv"][1:3] == ["-m", "tokenbench.testing.server"]
    assert process["flags"] == {"--itl-s": 0.001}
    assert started["plan"]["served_name"] == "recorded"


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
    with pytest.raises(EngineError, match=r"did not become ready within 1 s; .*recording"):
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
    """Before and after each repeat (two per point), after waiting for quiescence."""
    order = whole_run.notes.order("Engine.quiescent", "Engine.reset_cache")
    assert order == ["Engine.quiescent", "Engine.reset_cache"] * 8
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
    """From the unmodified page; stored, and compared with the client's counts."""
    calls = whole_run.notes.of("Engine.counters")
    assert len(calls) >= 8
    assert all("scripted_generated_tokens_total" in call["text"] for call in calls)
    (point, _) = whole_run.plan.deployments[0].points
    folder = whole_run.directory.phase(point.id, "repeat-0")
    scrapes = json.loads((folder / "counters.json").read_text())
    assert scrapes["before"]["preemptions"] == scrapes["after"]["preemptions"] == 3
    assert len(calls) == 8 + sum(
        len(json.loads(file.read_text())["during"])
        for file in whole_run.directory.path.glob("points/*/repeat-*/counters.json")
    )
    sent = scrapes["after"]["generated_tokens"] - scrapes["before"]["generated_tokens"]
    assert sent > 0
    # The codec reports 100 input tokens more than the server counts: a check detects that.
    checks = {check.name: check for check in whole_run.outcome.results[0].checks}
    assert checks["server agreement"].outcome.value == "invalid"


def test_counters_get_the_pages_of_all_endpoints(serving, notes) -> None:
    """Concatenated, without endpoints that have no metrics page."""
    made = serving(_with_engine())
    more = (EndpointSpec(), EndpointSpec(metrics_path=None), EndpointSpec())
    made.plan = attrs.evolve(made.plan, endpoints=more)
    made.start()
    assert made.scrape().counters is not None
    (call,) = notes.of("Engine.counters")
    assert call["text"].count("scripted_running") == 2


def test_a_scrape_that_fails_says_why(serving) -> None:
    """It is not the same as an engine without counters."""
    made = serving(_with_engine())
    made.start()
    made.deployment.cancel()
    scrape = made.scrape()
    assert scrape.counters is None
    assert scrape.error is not None and "/metrics does not answer" in scrape.error


@pytest.mark.covers("Server.endpoints")
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


@pytest.mark.covers("Server.post")
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
