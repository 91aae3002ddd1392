"""What engines have in common: options with flags, endpoints, versions, facts, hosts, context."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tokenbench.api import (
    ROUTER,
    AmendRequest,
    Architecture,
    Endpoint,
    EngineRequest,
    FlagGrammar,
    FrozenMap,
    HardwareFacts,
    LaunchPlan,
    Layout,
    Pool,
    ProcessSpec,
    Reply,
    ServerClient,
    ServerEngine,
    ServingNeeds,
    Sku,
    UsageError,
    Weights,
    check_attention_dp,
    check_build,
    check_drafts,
    check_experts,
    check_one_server,
    hosts_needed,
    named_values,
    option,
    option_flags,
    options,
    package_json,
    parse_metrics,
    refuse_unused,
    served_context,
    server_url,
)

_CHIP = Sku(name="chip", vendor="v", source="test", date="2026-12-01", accelerators_per_host=8)
_DENSE = Architecture(layers=4, heads=8)
_APART = Layout(pools=(Pool(role="prefill", replicas=2), Pool(role="decode", name="d")))


@options
class _Options:
    python: str | None = option(default=None, help="interpreter")
    size: int | None = option(default=None, help="of a block", flag="--size")
    eager: bool = option(default=False, help="no graphs", flag="--eager")
    chunked: bool | None = option(default=None, help="long prompts", flag="--chunked")
    sizes: tuple[int, ...] = option(
        default=(), help="of graphs", flag="--sizes", needs="eager=false"
    )
    speculation: str = option(default="none", choices=("none", "ngram", "mtp"), help="method")
    speculative_tokens: int | None = option(default=None, help="of a draft", needs="speculation")
    synthetic_acceptance_length: float | None = option(
        default=None, help="of a step", needs="speculation"
    )
    longest: int = option(default=4, help="of a match", needs="speculation=ngram")

    def __attrs_post_init__(self) -> None:
        check_drafts(self)


class _Engine(ServerEngine[_Options]):
    name, distribution = "tiny", "pytest"

    def plan(self, request: EngineRequest) -> LaunchPlan:
        return LaunchPlan(endpoints=self.endpoints(request.layout, routed=True))


class _Server(ServerClient):
    """Answers with these pages."""

    def __init__(self, pages: dict[str, Any], *, servers: int = 1) -> None:
        self._pages, self._roles = pages, (ROUTER, *["server"] * servers)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        return tuple(Endpoint(role=role, index=0, url="http://h:1") for role in self._roles)

    def get(self, path: str, *, endpoint: int = 0) -> Reply:
        assert endpoint > 0, "the router was asked"
        found = self._pages.get(f"{endpoint}{path}", self._pages.get(path))
        return Reply(status=404 if found is None else 200, text=json.dumps(found))

    def post(self, path: str, json: object = None, *, endpoint: int = 0) -> Reply:
        raise NotImplementedError


def _request(layout: Layout = _APART, *, limit: int | None = None, **needs: Any) -> EngineRequest:
    return EngineRequest(
        model="m",
        served_name="m",
        weights=None,
        architecture=Architecture(context_tokens=limit),
        hardware=HardwareFacts(kind="mine", sku="chip", count=8, chip=_CHIP),
        layout=layout,
        needs=ServingNeeds(**needs),
    )


def test_flags_of_options() -> None:
    """Given values, with switches as an engine writes them; nothing for what is left out."""
    assert option_flags(_Options()) == {}
    given = _Options(size=16, eager=True, chunked=False)
    assert option_flags(given) == {"--size": 16, "--eager": True, "--chunked": False}
    assert option_flags(_Options(sizes=(1, 2))) == {"--sizes": (1, 2)}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"eager": True, "sizes": (1,)}, "^sizes needs eager=false$"),
        ({"speculative_tokens": 2}, "^speculative_tokens needs speculation, which is none$"),
        ({"longest": 5}, "^longest needs speculation=ngram$"),
        (
            {"speculation": "mtp", "speculative_tokens": 2, "longest": 5},
            "^longest needs speculation=ngram$",
        ),
        ({"speculation": "mtp"}, "^speculation=mtp needs speculative_tokens=N$"),
        (
            {"speculation": "mtp", "speculative_tokens": 2, "synthetic_acceptance_length": 3.5},
            "expected at most 3 ",
        ),
    ],
)
def test_options_that_need_others(values: dict[str, Any], says: str) -> None:
    """The default of an option is always accepted."""
    with pytest.raises(ValueError, match=says):
        _Options(**values)
    _Options(speculation="ngram", speculative_tokens=2, longest=5, synthetic_acceptance_length=3)


def test_an_option_cannot_need_one_that_is_not_there() -> None:
    """The author is told when the class is made."""
    with pytest.raises(TypeError, match=r"Wrong.one: there is no option 'other=1'"):

        @options
        class Wrong:
            one: int = option(default=1, help="one", needs="other=1")


def test_unused_options_are_refused() -> None:
    """Only those that are given."""
    refuse_unused(_Options(), "size", because="there are no blocks")
    with pytest.raises(UsageError, match="size: there are no blocks, so it would have no effect"):
        refuse_unused(_Options(size=1), "eager", "size", because="there are no blocks")


def test_options_of_another_plugin() -> None:
    """Numbers and switches are such; the rest is text."""
    assert named_values("a=1,b=true, c=x=y,d=null", "more") == {
        "a": 1,
        "b": True,
        "c": "x=y",
        "d": None,
    }
    for text, says in (("a", "expected KEY=VALUE, got 'a'"), ("a=1,a=2", "a is given twice")):
        with pytest.raises(ValueError, match=f"^more: {says}"):
            named_values(text, "more")


@pytest.mark.covers("ServerEngine.endpoints", "ServerEngine.endpoint")
def test_endpoints_of_servers() -> None:
    """The router's receives the load and has no page of counters."""
    plan = _Engine(_Options()).plan(_request())
    assert [(at.role, at.metrics_path) for at in plan.endpoints] == [
        (ROUTER, None),
        ("prefill", "/metrics"),
        ("d", "/metrics"),
    ]
    assert _APART.pools[0].places == ("prefill.0", "prefill.1")
    assert (_APART.keys, _APART.servers) == (("prefill", "d"), 3)
    assert server_url("d.0") == "http://{d.0.host}:{d.0.port:http}"
    assert server_url() == "http://{host}:{port:http}"


@pytest.mark.covers(
    "ServerEngine.version",
    "ServerEngine.planned_version",
    "ServerEngine.named",
    "ServerEngine.facts",
    "ServerEngine.servers",
)
def test_versions_and_facts_of_a_server() -> None:
    """The router is not asked; a simulated acceptance is part of the version."""
    drafts = {"speculation": "mtp", "speculative_tokens": 2}
    server = _Server(
        {"/version": {"version": "1.2"}, "/v1/models": {"data": [{"max_model_len": 9}]}}
    )
    plain = _Engine(_Options())
    assert plain.version(server) == "tiny 1.2"
    assert plain.facts(server) == {"max_model_len": "9"}
    assert plain.planned_version() == f"tiny {pytest.__version__}"
    assert _Engine(_Options(**drafts)).facts(server)["acceptance"] == "real"
    fake = _Engine(_Options(**drafts, synthetic_acceptance_length=2.5))
    assert fake.version(server) == "tiny 1.2 (synthetic acceptance 2.5)"
    assert fake.facts(server)["acceptance"] == "synthetic 2.5"
    silent = _Server({})
    assert (plain.version(silent), plain.facts(silent)) == (None, {})


def test_an_error_is_that_of_its_pool() -> None:
    """The one for which the engine raised it, unless it names another."""
    assert _APART.each(lambda pool: pool.key) == ("prefill", "d")

    def odd(pool: Pool, named: str | None = None) -> None:
        if pool.key == "d":
            error = UsageError("tp=3: is odd", hint="use 2", key="topology.tp")
            error.pool = named
            raise error

    for named, shown in ((None, "d"), ("other", "other")):
        with pytest.raises(UsageError) as refused:
            _APART.each(lambda pool, named=named: odd(pool, named))  # type: ignore[misc]
        assert refused.value.pool == shown


@pytest.mark.covers("ServerEngine.server_version")
def test_versions_of_servers_that_differ() -> None:
    """Each version once, in the order of the servers; one that reports none changes nothing."""
    versions = ["1.2", "1.3", None, "1.2"]
    pages = {f"{n}/version": {"version": v} for n, v in enumerate(versions, 1)}
    assert _Engine(_Options()).version(_Server(pages, servers=4)) == "tiny 1.2, 1.3"


@pytest.mark.parametrize(
    ("count", "chip", "more", "hosts"),
    [
        (8, _CHIP, {}, 1),
        (9, None, {}, 1),
        (16, _CHIP, {}, 2),
        (16, _CHIP, {"whole": 4}, 2),
        (12, _CHIP, {}, None),
        (48, _CHIP, {"whole": 3}, None),
        (16, _CHIP, {"most": 1}, None),
    ],
)
def test_hosts_of_a_replica(
    count: int, chip: Sku | None, more: dict[str, int], hosts: int | None
) -> None:
    """Whole hosts, with whole groups of accelerators, as many as the engine can use."""
    asked = {"why": "so it is", "hint": "use a multiple of {here}", **more}
    if hosts is not None:
        assert hosts_needed(count, chip, **asked) == hosts  # type: ignore[arg-type]
        return
    says = f"{count} accelerators are needed, a host with chip has 8: so it is"
    with pytest.raises(UsageError, match=says) as caught:
        hosts_needed(count, chip, **asked)  # type: ignore[arg-type]
    assert caught.value.hint == "use a multiple of 8"


def test_the_context_of_a_server() -> None:
    """Enough for the check of a start and a short eval, within the model's limit."""
    assert served_context(_request()) is None
    assert served_context(_request(context_tokens=100)) == 512
    assert served_context(_request(context_tokens=100, limit=300)) == 300
    assert served_context(_request(context_tokens=1000), unused=2) == 1002
    assert served_context(_request(context_tokens=100), 2000) == 2000
    with pytest.raises(UsageError, match="a context of 302 tokens is required"):
        served_context(_request(context_tokens=300, limit=300), unused=2)


def test_what_a_model_or_a_layout_refuses() -> None:
    """Experts over all ranks or none; attention DP needs experts; one server without a router."""
    mixture = Architecture(layers=4, experts=64)
    check_experts(mixture, "m", ep=16, all_of=16, says="it spreads")
    with pytest.raises(UsageError, match="ep=8: it spreads, or over none"):
        check_experts(mixture, "m", ep=8, all_of=16, says="it spreads")
    check_attention_dp(mixture, "m", attention_dp=2)
    check_attention_dp(_DENSE, "m", attention_dp=1)
    with pytest.raises(UsageError, match="attention_dp=2: m has no experts"):
        check_attention_dp(_DENSE, "m", attention_dp=2)
    check_one_server(Layout(), "Tiny", hint="")
    with pytest.raises(UsageError, match="3 replicas of Tiny need a router"):
        check_one_server(_APART, "Tiny", hint="")


def test_flags_that_a_package_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The grammar of captured flags, JSON objects among them."""
    package = tmp_path / "tiny_captured"
    package.mkdir()
    (package / "__init__.py").write_text("")
    flags = [
        {"names": ["--config", "-c"], "type": "json"},
        {"names": ["--x"], "negations": ["--no-x"]},
    ]
    (package / "flags.json").write_text(json.dumps({"flags": flags, "version": "1"}))
    monkeypatch.syspath_prepend(str(tmp_path))
    grammar = FlagGrammar.of_package("tiny_captured")
    assert grammar.json == ("--config",)
    assert grammar.canonical("-c", "{}") == ("--config", "{}")
    assert grammar.canonical("--no-x", True) == ("--x", False)
    assert package_json("tiny_captured")["version"] == "1"
    sys.modules.pop("tiny_captured", None)


def test_a_flag_without_value_is_none() -> None:
    """A plan of an engine leaves it out; other layers cannot tell it from one that is not there."""
    assert ProcessSpec(argv=("x",), flags={"--a": None, "--b": False}).flags == {"--b": False}  # type: ignore[arg-type]


def test_processes_on_a_chip() -> None:
    """Of pools, with their engine; a router has no pool."""
    own = HardwareFacts(kind="other", sku=None, count=1)
    layout = Layout(pools=(Pool(role="prefill"), Pool(role="decode", hardware=own)))
    plan = LaunchPlan(
        processes=tuple(ProcessSpec(role=r, argv=("x",)) for r in ("prefill", "decode", ROUTER))
    )
    asked = AmendRequest(
        engine="wraps", request=_request(layout), roles=FrozenMap({"inner": ("prefill",)})
    )
    (first,) = asked.processes_on("mine", plan)
    assert (first[0], first[1].role, first[2]) == ("inner", "prefill", layout.pools[0])
    assert [(name, pool.role) for name, _, pool in asked.processes_on("other", plan)] == [
        ("wraps", "decode")
    ]


def test_weights_to_download() -> None:
    """Those of the hub have a revision to download."""
    hub = Weights(precision="bf16", format="hf", source="hub:o/n", revision="abc")
    local = Weights(precision="bf16", format="hf", source="file:/m", revision="abc")
    assert (hub.on_hub, hub.hub_revision) == (True, "abc")
    assert (local.on_hub, local.hub_revision) == (False, None)


def test_sums_by_a_label() -> None:
    """Without some values; in the order of numbers."""
    page = parse_metrics(
        'done{why="stop"} 3\ndone{why="error"} 2\ndone{why="length"} 1\n'
        'at{place="10"} 1\nat{place="2"} 5\n'
    )
    assert page.sum_without("done", "why", ("error",)) == 4
    assert page.sum_without("none", "why", ()) is None
    assert page.by_number("at", "place") == (5, 1)
    assert page.by_number("none", "place") is None


def test_what_a_build_has_no_use_for() -> None:
    """Flags by their names, and a server over several hosts."""
    process = ProcessSpec(argv=("x",), flags={"--size": 1})  # type: ignore[arg-type]
    check_build(process, "build 1", without=("--other",))
    with pytest.raises(UsageError, match=r"^build 1 does not support --size$"):
        check_build(process, "build 1", without=("--other", "--size"))
    with pytest.raises(UsageError, match="one server on several hosts"):
        check_build(ProcessSpec(argv=("x",), ranks=2), "build 1", without=())
