"""Plans: frontend and workers, how they find each other, and what is refused."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from dynamo_cases import WIDE, engine, mockers, processes, request, xpyd
from tokenbench_engine_dynamo.plugin import DynamoOptions

from tokenbench.api import (
    FrozenMap,
    Pool,
    PortBlock,
    ServingNeeds,
    Topology,
    UsageError,
)

_CACHING = ServingNeeds(context_tokens=2048, concurrency=16, prefix_caching=True)


def test_a_frontend_and_workers() -> None:
    """The load goes to the frontend; every process of a pool has a metrics page."""
    plan = engine().plan(request(*xpyd(4, 1)))
    assert [(one.role, one.replicas) for one in plan.processes] == [
        ("frontend", 1),
        ("prefill", 4),
        ("decode", 1),
    ]
    assert [(at.role, at.url) for at in plan.endpoints] == [
        ("frontend", "http://{frontend.0.host}:{frontend.0.port:http}"),
        ("prefill", "http://{host}:{port:system}"),
        ("decode", "http://{host}:{port:system}"),
    ]
    assert plan.wraps == {"prefill": "vllm", "decode": "vllm"}
    assert engine(worker="mocker").plan(request()).wraps == {}


def test_a_worker_is_the_engine_s_with_dynamo_s_program() -> None:
    """Flags, variables, ports, ranks and accelerators of the wrapped engine stay."""
    found = processes(request(*xpyd(1, 2, topology=Topology(tp=4))), python="/opt/d/bin/python")
    decode = found["decode"]
    assert decode.argv == ("/opt/d/bin/python", "-m", "dynamo.vllm", "--model", "{weights}")
    assert decode.flags["--max-num-seqs"] == 16
    assert decode.flags["--served-model-name"] == "name"
    assert decode.flags["--disaggregation-mode"] == "decode"
    assert decode.environment["ENGINE"] == "1"
    assert decode.environment["DYN_SYSTEM_PORT"] == "{port:system}"
    assert decode.environment["DYN_FILE_KV"] == "{shared}/discovery"
    assert [port.name for port in decode.ports] == ["system", "dp"]
    assert (decode.ranks, decode.replicas, decode.accelerators) == (2, 2, 4)
    assert found["prefill"].flags["--disaggregation-mode"] == "prefill"
    assert processes(request())["server"].flags["--disaggregation-mode"] == "agg"


def test_the_plan_says_whether_tokens_are_drafted() -> None:
    """By the workers' flags, or by their file of settings."""
    config = FrozenMap({"method": "mtp", "num_speculative_tokens": 1})
    drafting = FrozenMap({"--speculative-config": config})
    made = engine()
    (worker,) = (one for one in made.plan(request()).processes if one.role == "server")
    workers = made._workers  # type: ignore[attr-defined]
    assert workers.speculation(attrs.evolve(worker, flags=drafting), Pool()) == "mtp"
    assert made.plan(request(*xpyd(1, 1))).speculation == "none"
    assert engine(worker="mocker").plan(request()).speculation == "none"
    assert engine("trtllm", worker="trtllm").plan(request()).speculation == "mtp"
    made = engine("sglang", worker="sglang")
    assert made.plan(request()).speculation == "none"
    workers = made._workers  # type: ignore[attr-defined]
    for algorithm, method in (("NEXTN", "mtp"), ("EAGLE3", "eagle3"), ("STANDALONE", "draft")):
        drafting = FrozenMap({"--speculative-algorithm": algorithm})
        assert workers.speculation(attrs.evolve(worker, flags=drafting), Pool()) == method


def test_pools_have_engines_of_their_own() -> None:
    """Named by their key, with their own options, or those of the deployment."""
    pools = (
        Pool(name="old", engine="sglang", engine_options=FrozenMap({"x": 1})),
        Pool(role="prefill", name="new"),
        Pool(role="decode"),
    )
    plan = engine("vllm", "sglang", worker_options="enforce_eager=true").plan(request(*pools))
    assert plan.wraps == {"old": "sglang", "new": "vllm", "decode": "vllm"}
    found = {one.role: one for one in plan.processes}
    assert found["old"].argv[1:] == ("-m", "dynamo.sglang", "--model-path", "{weights}")
    assert found["old"].flags["--disaggregation-mode"] == "agg"


@pytest.mark.parametrize(
    ("pools", "options", "says"),
    [
        (
            (Pool(role="prefill", engine="sglang"), Pool(role="decode")),
            {},
            r"different engines \(sglang, vllm\): engines cannot read each other's KV cache",
        ),
        ((Pool(engine="vllm"),), {"worker_options": "a=1"}, "every pool names its engine"),
    ],
)
def test_pools_that_do_not_go_together(
    pools: tuple[Pool, ...], options: dict[str, Any], says: str
) -> None:
    """Two caches, or options that nothing would use."""
    with pytest.raises(UsageError, match=says) as refused:
        engine("vllm", "sglang", **options).plan(request(*pools))
    assert refused.value.hint


def test_options_of_the_wrapped_engine() -> None:
    """Its interpreter is Dynamo's; options are given by text, or by the pool."""
    made = engine(
        python="/opt/d/bin/python",
        block_size=32,
        worker_options="enforce_eager=true, kv_cache_gib=4,kv_connector=mooncake",
    )
    wrapped = made._workers.engine()  # type: ignore[attr-defined]
    assert wrapped.options == {
        "python": "/opt/d/bin/python",
        "block_size": 32,
        "enforce_eager": True,
        "kv_cache_gib": 4,
        "kv_connector": "mooncake",
    }
    pool = Pool(engine="vllm", engine_options=FrozenMap({"enforce_eager": False}))
    own = made._workers.engine(pool)  # type: ignore[attr-defined]
    assert own.options["enforce_eager"] is False and "kv_connector" not in own.options


def test_mockers() -> None:
    """A prefill worker waits at its bootstrap port for decode; the cache follows the needs."""
    found = mockers(request(*xpyd(1, 2)), block_size=16, speedup=2.0, startup_s=3.0)
    prefill, decode = found["prefill"], found["decode"]
    assert prefill.flags["--bootstrap-ports"] == "{port:bootstrap}"
    assert [port.name for port in prefill.ports] == ["system", "bootstrap"]
    assert "--bootstrap-ports" not in decode.flags and decode.replicas == 2
    assert prefill.grammar.render("--enable-prefix-caching", False) == (
        "--no-enable-prefix-caching",
    )
    assert (prefill.flags["--block-size"], prefill.flags["--speedup-ratio"]) == (16, 2.0)
    assert prefill.accelerators == 0
    assert mockers(request(needs=_CACHING))["server"].flags["--enable-prefix-caching"] is True
    assert (
        mockers(request(Pool(topology=Topology(dp=2))))["server"].flags["--data-parallel-size"] == 2
    )


def test_workers_tell_the_router_what_their_cache_holds() -> None:
    """Only if there is one, and the router asks; data-parallel rank N on the first port + N."""
    wide = (Pool(role="prefill"), Pool(role="decode", topology=WIDE))
    found = processes(request(*wide, needs=_CACHING))
    config = found["prefill"].flags["--kv-events-config"]
    assert isinstance(config, FrozenMap)
    assert config["endpoint"] == "tcp://*:{port:events}"
    assert PortBlock(name="events", count=1) in found["prefill"].ports
    # Nothing of a request is looked up in the cache of decode.
    assert "--kv-events-config" not in found["decode"].flags
    aggregated = processes(request(Pool(topology=WIDE), needs=_CACHING))["server"]
    assert PortBlock(name="events", count=32) in aggregated.ports
    for other in (
        processes(request(), router_mode="kv"),
        processes(request(needs=_CACHING), router_mode="random"),
    ):
        assert "--kv-events-config" not in other["server"].flags


@pytest.mark.parametrize(
    ("mode", "needs", "expected"),
    [
        ("kv", None, False),
        ("kv", _CACHING, None),
        ("round-robin", None, None),
    ],
)
def test_the_router_expects_no_reuse_without_a_cache(
    mode: str, needs: ServingNeeds | None, expected: bool | None
) -> None:
    """Otherwise it would send equal prompts to one worker."""
    frontend = processes(request(needs=needs), router_mode=mode)["frontend"]
    assert frontend.flags["--router-mode"] == mode
    assert frontend.flags.get("--router-assume-kv-reuse") is expected


def test_etcd() -> None:
    """It is started first, ready before the others start, and known to all."""
    found = mockers(request(*xpyd(1, 1)), discovery="etcd", etcd="/opt/etcd")
    etcd = found.pop("etcd")
    assert etcd.argv == ("/opt/etcd",) and etcd.ready == "http://{host}:{port:client}/health"
    for one in found.values():
        assert one.after == ("etcd",)
        assert one.flags["--discovery-backend"] == "etcd"
        assert one.environment["ETCD_ENDPOINTS"] == "http://{etcd.0.host}:{etcd.0.port:client}"
        assert "DYN_FILE_KV" not in one.environment


def test_nats() -> None:
    """Requests over a server that runs already."""
    found = mockers(request(), request_plane="nats", nats_url="nats://10.0.0.1:4222")
    for one in found.values():
        assert one.flags["--request-plane"] == "nats"
        assert one.environment["NATS_SERVER"] == "nats://10.0.0.1:4222"


def test_no_network_if_the_weights_are_here() -> None:
    """Those of the hub need it."""
    for one in mockers(request(*xpyd(1, 1))).values():
        assert one.environment["HF_HUB_OFFLINE"] == "1"
    for one in mockers(request(source="hub:org/m")).values():
        assert "HF_HUB_OFFLINE" not in one.environment


def test_the_first_prompt_takes_part_in_a_transfer() -> None:
    """More than two blocks, as far as a request may be that long."""

    def first(context: int | None, **options: Any) -> int:
        needs = ServingNeeds(context_tokens=context)
        return engine(**options).plan(request(*xpyd(1, 1), needs=needs)).first_prompt_tokens

    assert first(None) == 257
    assert first(None, block_size=16) == 33
    assert first(96) == 95
    assert engine().plan(request()).first_prompt_tokens == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"worker": "sglang"}, "no engine 'sglang' is installed"),
        ({"worker": "trtllm"}, "no engine 'trtllm' is installed"),
        ({"worker": "llamacpp"}, "Dynamo has no workers of the engine 'llamacpp'"),
    ],
)
def test_workers_that_do_not_exist(options: dict[str, Any], says: str) -> None:
    """Core is asked for the engine, so that one that comes later can be used."""
    with pytest.raises(UsageError, match=says):
        engine("vllm", "llamacpp", **options).plan(request())


def test_a_mocker_computes_nothing() -> None:
    """It has no tensor parallelism."""
    with pytest.raises(UsageError, match="the mocker does not support tp2"):
        mockers(request(Pool(topology=Topology(tp=2))))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"request_plane": "nats"}, "needs nats_url="),
        ({"nats_url": "nats://h:1"}, "nats_url needs request_plane=nats"),
        ({"request_plane": "nats", "nats_url": "http://h:1"}, "expected nats://HOST:PORT"),
        ({"request_plane": "nats", "nats_url": "nats://u:p@h:1"}, "user or password"),
        ({"worker_options": "eager"}, "expected KEY=VALUE, got 'eager'"),
        ({"block_size": 16, "worker_options": "block_size=32"}, "block_size is given twice"),
        ({"worker_options": "a=1,a=2"}, "a is given twice"),
        ({"worker": "mocker", "worker_options": "a=1"}, "the mocker takes no engine options"),
        ({"etcd": "/opt/etcd"}, "etcd needs discovery=etcd"),
        ({"speedup": 2.0}, "speedup needs worker=mocker"),
        ({"startup_s": 2.0}, "startup_s needs worker=mocker"),
    ],
)
def test_options_that_contradict(options: dict[str, Any], says: str) -> None:
    """Told before anything is planned."""
    with pytest.raises(ValueError, match=says):
        DynamoOptions(**options)


def test_an_interpreter_that_does_not_exist() -> None:
    """The error says which."""
    with pytest.raises(UsageError, match="there is no interpreter '/no/such/python'"):
        engine(python="/no/such/python").planned_version()


def test_every_process_can_be_told_apart() -> None:
    """Roles are unique, also those of pools with names."""
    first, second = xpyd(1, 1)
    pools = (attrs.evolve(first, name="a"), attrs.evolve(first, name="b"), second)
    roles = [one.role for one in engine().plan(request(*pools)).processes]
    assert roles == ["frontend", "a", "b", "decode"]


def test_a_worker_with_a_file_of_settings() -> None:
    """TensorRT-LLM's file, under Dynamo's name of the flag; MPI stands before Dynamo's worker. The
    method of drafting is read from the file.
    """
    asked = request(*xpyd(1, 1), needs=ServingNeeds(prefix_caching=True))
    plan = engine("trtllm", worker="trtllm", block_size=64).plan(asked)
    found = {one.role: one for one in plan.processes}
    for role in ("prefill", "decode"):
        one = found[role]
        assert one.argv[2:4] == ("dynamo.trtllm", "--model")
        assert one.flags["--extra-engine-args"] == "{file:args.yaml}"
        assert "--config" not in one.flags and one.files[0].name == "args.yaml"
        assert one.flags["--kv-block-size"] == 64 and one.flags["--publish-metrics"] is True
        assert one.wrap == ("mpirun",) and one.leader_only
    assert found["prefill"].flags["--publish-kv-events"] is True
    assert "--publish-kv-events" not in found["decode"].flags
    assert plan.speculation == "mtp" and plan.wraps["decode"] == "trtllm"
