"""Plans: topologies as SGLang's degrees, several servers, environment, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from sglang_cases import (
    DEEPSEEK_R1,
    GIB,
    H200,
    LLAMA_70B,
    SMOLLM2,
    draft_weights,
    engine,
    process,
    request,
    xpyd,
)
from tokenbench_engine_sglang.plugin import SglangOptions

from tokenbench.api import (
    EngineRequest,
    FrozenMap,
    Pool,
    PortBlock,
    ServingNeeds,
    Topology,
    UsageError,
)

_DEGREES = ("--tp-size", "--pp-size", "--dp-size", "--attn-dp-size", "--ep-size", "--dcp-size")
_CACHE = ServingNeeds(context_tokens=2048, concurrency=16, prefix_caching=True)


def _fp8(**more: Any) -> EngineRequest:
    return request(DEEPSEEK_R1, precision="fp8", **more)


def _degrees(asked: EngineRequest) -> list[Any]:
    flags = process(asked).flags
    return [flags.get(name) for name in _DEGREES]


@pytest.mark.parametrize(
    ("degrees", "expected"),
    [
        ({"tp": 8}, [8, None, None, None, None, None]),
        ({"tp": 8, "ep": 8}, [8, None, None, None, 8, None]),
        ({"tp": 8, "ep": 2}, [8, None, None, None, 2, None]),
        # InferenceX's "dp-attention: true": 8 accelerators, attention in 8 groups.
        ({"tp": 8, "ep": 8, "attention_dp": 8}, [8, None, None, 8, 8, None]),
        # Ranks that share experts are attention DP, however they are written.
        ({"dp": 8, "ep": 8}, [8, None, None, 8, 8, None]),
        ({"dp": 8, "ep": 8, "attention_dp": 8}, [8, None, None, 8, 8, None]),
        ({"tp": 4, "dp": 2, "ep": 8, "attention_dp": 4}, [8, None, None, 4, 8, None]),
        ({"tp": 8, "dcp": 8}, [8, None, None, None, None, 8]),
    ],
)
def test_topologies_of_a_model_with_experts(degrees: dict[str, int], expected: list[Any]) -> None:
    """Attention DP, experts and dcp divide the ranks; the accelerators are theirs."""
    assert _degrees(_fp8(**degrees)) == expected
    assert process(_fp8(**degrees)).accelerators == 8


def test_topologies_of_a_dense_model() -> None:
    """dp is replicas in one server; degrees of one are left out."""
    assert _degrees(request(LLAMA_70B, tp=2, dp=2, pp=2)) == [2, 2, 2, None, None, None]
    assert _degrees(request(SMOLLM2)) == [None] * 6


def test_several_hosts() -> None:
    """A process on each, which meet at rank 0; only there a server answers requests."""
    found = process(_fp8(tp=16, attention_dp=16, ep=16))
    assert (found.ranks, found.accelerators) == (2, 16)
    assert (found.flags["--nnodes"], found.flags["--node-rank"]) == (2, "{rank}")
    assert found.flags["--dist-init-addr"] == "{leader.host}:{leader.port:dist}"
    assert PortBlock(name="dist", count=7) in found.ports


def test_attention_dp_has_ports_of_its_own() -> None:
    """Otherwise SGLang derives them from the port of HTTP."""
    assert process(_fp8(tp=8, attention_dp=8)).flags["--dist-init-addr"] == "{host}:{port:dist}"
    assert "--dist-init-addr" not in process(_fp8(tp=8)).flags


def test_batches_of_all_schedulers() -> None:
    """SGLang divides the number among data-parallel ranks, and requests not evenly."""
    for degrees, expected in (({"tp": 8}, 16), ({"tp": 8, "attention_dp": 8}, 128)):
        assert process(_fp8(**degrees)).flags["--max-running-requests"] == expected
    assert process(_fp8(tp=8), max_running_requests=9).flags["--max-running-requests"] == 9


def test_context() -> None:
    """Two tokens more than a request has: SGLang shortens answers that reach the end."""
    assert process(_fp8(tp=8)).flags["--context-length"] == 2050
    small = ServingNeeds(context_tokens=100)
    assert process(request(needs=small)).flags["--context-length"] == 512
    assert process(request(needs=small), context_tokens=900).flags["--context-length"] == 902
    assert "--context-length" not in process(request(needs=ServingNeeds())).flags
    last = ServingNeeds(context_tokens=8191)
    with pytest.raises(UsageError, match="a context of 8193 tokens is required, m supports 8192"):
        process(request(needs=last))


def test_prefix_cache() -> None:
    """Off unless the load asks for it."""
    assert process(request()).flags["--disable-radix-cache"] is True
    assert "--disable-radix-cache" not in process(request(needs=_CACHE)).flags


def test_speculation() -> None:
    """One token more is verified than drafted; MTP needs no other weights."""
    options = {"speculation": "mtp", "speculative_tokens": 3}
    flags = process(_fp8(tp=8), **options).flags
    assert {name: value for name, value in flags.items() if "speculative" in name} == {
        "--speculative-algorithm": "NEXTN",
        "--speculative-num-draft-tokens": 4,
        "--speculative-num-steps": 3,
        "--speculative-eagle-topk": 1,
    }
    assert engine(**options).plan(_fp8(tp=8)).speculation == "mtp"
    extra = {"head": draft_weights("eagle")}
    eagle = process(
        request(LLAMA_70B, tp=4, extra=extra), speculation="eagle3", speculative_tokens=2
    )
    assert eagle.flags["--speculative-draft-model-path"] == "{weights:head}"


def test_synthetic_acceptance() -> None:
    """A variable, which evals leave out; the plan and the version say so, whoever set it."""
    options: dict[str, Any] = {
        "speculation": "mtp",
        "speculative_tokens": 3,
        "synthetic_acceptance_length": 2.5,
    }
    fake = engine(**options)
    plan = fake.plan(_fp8(tp=8))
    assert plan.processes[0].environment["SGLANG_SIMULATE_ACC_LEN"] == "2.5"
    assert fake.synthetic_acceptance(plan)
    real = ServingNeeds(context_tokens=2048, real_acceptance=True)
    assert not fake.synthetic_acceptance(fake.plan(_fp8(tp=8, needs=real)))
    plain = engine().plan(_fp8(tp=8))
    for value, expected in (("2", True), ("-1", False), ("x", False)):
        environment = FrozenMap({"SGLANG_SIMULATE_ACC_LEN": value})
        (one,) = plain.processes
        changed = attrs.evolve(plain, processes=(attrs.evolve(one, environment=environment),))
        assert engine().synthetic_acceptance(changed) is expected


def test_prefill_and_decode() -> None:
    """Each finds the other by the port that the router sends along with a request."""
    plan = engine(kv_connector="mori").plan(_fp8(pools=xpyd(2, 1, Topology(tp=8))))
    prefill, decode, router = plan.processes
    assert prefill.flags["--disaggregation-mode"] == "prefill"
    assert prefill.flags["--disaggregation-bootstrap-port"] == "{port:bootstrap}"
    assert "bootstrap" in [block.name for block in prefill.ports]
    assert decode.flags["--disaggregation-mode"] == "decode"
    assert "--disaggregation-bootstrap-port" not in decode.flags
    for one in (prefill, decode):
        assert one.flags["--disaggregation-transfer-backend"] == "mori"
    words = list(router.argv[3:])
    assert words == [
        "--pd-disaggregation",
        *("--prefill", "http://{prefill.0.host}:{prefill.0.port:http}"),
        "{prefill.0.port:bootstrap}",
        *("--prefill", "http://{prefill.1.host}:{prefill.1.port:http}"),
        "{prefill.1.port:bootstrap}",
        *("--decode", "http://{decode.0.host}:{decode.0.port:http}"),
    ]
    assert router.after == ("prefill", "decode")
    assert [one.role for one in plan.endpoints] == ["router", "prefill", "decode"]


def test_replicas_behind_the_router() -> None:
    """Two servers and no router for one."""
    pools = (Pool(replicas=2, topology=Topology(tp=8)),)
    *_, router = engine(router_policy="cache_aware").plan(_fp8(pools=pools)).processes
    assert router.argv[3:] == (
        "--worker-urls",
        "http://{server.0.host}:{server.0.port:http}",
        "http://{server.1.host}:{server.1.port:http}",
    )
    assert router.flags["--policy"] == "cache_aware"
    assert [one.role for one in engine().plan(_fp8(tp=8)).processes] == ["server"]


def test_a_worker_has_no_flags_of_the_http_server() -> None:
    """An orchestrator has its own; metrics remain."""
    worker = engine().worker(_fp8(tp=8), "server")
    assert not {"--host", "--port", "--served-model-name", "--log-level-http"} & set(worker.flags)
    assert worker.flags["--enable-metrics"] is True
    assert (worker.ports, worker.ready) == ((), None)


def test_environment() -> None:
    """Nothing is downloaded where all weights are local; a CPU is told to SGLang."""
    assert process(request()).environment["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in process(request(source="hub:org/name")).environment
    cpu = process(request(kind="cpu"), cpu_binding="0-3")
    assert cpu.environment["SGLANG_USE_CPU_ENGINE"] == "1"
    assert cpu.environment["SGLANG_CPU_OMP_THREADS_BIND"] == "0-3"
    assert (cpu.flags["--device"], cpu.accelerators) == ("cpu", 0)


def test_the_interpreter() -> None:
    """A path stays a path; a name is looked up where the process runs."""
    assert process(request(), python="python3").argv[0] == "python3"
    assert Path(process(request(), python="./bin/python").argv[0]).is_absolute()


@pytest.mark.parametrize(
    ("asked", "options", "message"),
    [
        (_fp8(tp=4), {}, r"does not fit: weights .* = .*; 4 x h200 x 141\.0 GiB x 0\.99"),
        (request(LLAMA_70B, tp=6), {}, r"64 attention heads of m .* \(64 / 6 = 10\.67\)"),
        (_fp8(tp=8, attention_dp=3), {}, "attention_dp=3 does not divide the 8 ranks"),
        (_fp8(tp=8, ep=3), {}, r"ep=3: .* 8 ranks .*, which 3 does not divide"),
        (request(LLAMA_70B, tp=8, ep=8), {}, "has no experts"),
        (_fp8(tp=8, attention_dp=8, dcp=2), {}, "dcp=2 does not divide the 1 ranks"),
        (request(LLAMA_70B, tp=8, dp=2), {}, "does not spread data-parallel replicas over hosts"),
        (_fp8(tp=12), {}, r"128 attention heads .* \(128 / 12"),
        (
            request(LLAMA_70B, tp=4),
            {"speculation": "mtp", "speculative_tokens": 1},
            "name no MTP heads",
        ),
        (
            request(LLAMA_70B, tp=4),
            {"speculation": "eagle3", "speculative_tokens": 1},
            "needs weights for drafting: m has none",
        ),
        (
            _fp8(tp=8, attention_dp=8),
            {"speculation": "draft", "speculative_tokens": 1, "speculative_model": "/d"},
            "does not combine a draft model with attention DP",
        ),
        (request(LLAMA_70B, precision="nvfp4", tp=4), {}, "does not compute in fp4"),
        (request(), {"kv_offload": "hicache"}, "the suite does not enable"),
        (request(), {"tool_call_parser": "model"}, "names no tool parser of SGLang"),
        (request(), {"chat_template_file": "/no/such"}, "cannot read the chat template"),
        (
            request(pools=(Pool(engine="vllm"),)),
            {},
            "the engine sglang plans all of its pools itself",
        ),
    ],
)
def test_what_cannot_work_is_refused(
    asked: EngineRequest, options: dict[str, Any], message: str
) -> None:
    """With the arithmetic, before an accelerator is reserved."""
    with pytest.raises(UsageError, match=message) as refused:
        process(asked, **options)
    assert refused.value.hint


def test_fp4_weight_only() -> None:
    """It may be asked for."""
    asked = request(LLAMA_70B, precision="nvfp4", tp=4)
    assert process(asked, fp4_weight_only=True).flags["--tp-size"] == 4


def test_less_memory_for_sglang() -> None:
    """The share that the user names counts."""
    chip = attrs.evolve(H200, memory_bytes=90 * GIB)
    assert process(_fp8(tp=8, chip=chip))
    with pytest.raises(UsageError, match=r"90\.0 GiB x 0\.8"):
        process(_fp8(tp=8, chip=chip), memory_share=0.8)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"speculative_tokens": 1}, "speculative_tokens needs speculation, which is none"),
        ({"speculation": "mtp"}, "needs speculative_tokens=N"),
        (
            {
                "speculation": "mtp",
                "speculative_tokens": 1,
                "synthetic_acceptance_length": 2.5,
            },
            "expected at most 2",
        ),
        ({"kv_offload_gib": 1}, "needs kv_offload=hicache"),
        ({"kv_storage": "file"}, "needs kv_offload=hicache"),
        ({"version": "newest"}, "version: expected a version such as 0.5.21, got 'newest'"),
        ({"speculative_topk": 4}, "speculative_topk needs speculation, which is none"),
        (
            {"speculation": "mtp", "speculative_tokens": 3, "speculative_tree_tokens": 8},
            "speculative_tree_tokens needs a speculative_topk above 1",
        ),
        ({"cuda_graphs": False, "cuda_graph_max_batch": 8}, "needs cuda_graphs=true"),
    ],
)
def test_options_that_contradict(values: dict[str, Any], message: str) -> None:
    """Each says what is missing."""
    with pytest.raises(ValueError, match=message):
        SglangOptions(**values)


@pytest.mark.parametrize(
    ("pools", "options", "message"),
    [
        ((Pool(name="s"), *xpyd(1, 1)), {}, "the pool 's' is a server beside pools for prefill"),
        ((Pool(),), {"kv_connector": "nixl"}, "kv_connector: there are no pools for prefill"),
        ((Pool(),), {"kv_devices": "mlx5_0"}, "kv_devices: there are no pools for prefill"),
        ((Pool(),), {"router_policy": "random"}, "router_policy: SGLang's router is used only"),
        ((Pool(),), {"cpu_binding": "0-3"}, "cpu_binding: this deployment does not run on CPUs"),
        ((Pool(),), {"eplb": True}, "eplb: m has no experts"),
        ((Pool(),), {"moe_backend": "triton"}, "moe_backend: m has no experts"),
        ((Pool(),), {"all2all_backend": "mori"}, "all2all_backend: m has no experts"),
    ],
)
def test_pools_and_options_that_no_process_would_use(
    pools: tuple[Pool, ...], options: dict[str, Any], message: str
) -> None:
    """The router knows nothing of them, or there is none."""
    with pytest.raises(UsageError, match=message) as refused:
        engine(**options).plan(request(pools=pools))
    assert refused.value.hint


def test_the_kv_cache_has_room_for_a_sequence() -> None:
    """Otherwise SGLang refuses every long request. dcp divides the tokens."""
    assert process(_fp8(tp=8), kv_cache_tokens=2048).flags["--max-total-tokens"] == 2048
    assert process(_fp8(tp=8, dcp=8), kv_cache_tokens=256)
    with pytest.raises(UsageError, match=r"kv_cache_tokens=2047: .* up to 2048 tokens"):
        process(_fp8(tp=8), kv_cache_tokens=2047)
