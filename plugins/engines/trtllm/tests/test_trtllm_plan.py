"""What is planned: sizes, topologies, pools, hosts; and what is refused, with the arithmetic."""

from __future__ import annotations

from typing import Any

import pytest
from trtllm_cases import (
    B200,
    DEEPSEEK_R1,
    GB200,
    H200,
    LLAMA_70B,
    args,
    draft_weights,
    engine,
    process,
    request,
    xpyd,
)

from tokenbench.api import FrozenMap, Pool, ServingNeeds, Topology, UsageError

_MTP = {"speculation": "mtp", "speculative_tokens": 3}


@pytest.mark.parametrize(
    ("degrees", "options", "batch", "tokens"),
    [
        # 64 + 9280 + 64 = 9408, a multiple of 64.
        ({"tp": 8}, {}, 64, 9408),
        # (3 + 1) x 64 + 9280 + 64 = 9600.
        ({"tp": 8}, _MTP, 64, 9600),
        # Twice a rank's share of 64 / 8: (3 + 1) x 16 + 9344 = 9408.
        ({"tp": 8, "ep": 8, "attention_dp": 8}, _MTP, 16, 9408),
        ({"tp": 8}, {"max_batch_size": 100}, 100, 9472),
        ({"tp": 8}, {"max_num_tokens": 2048}, 64, 2048),
        # Never below TensorRT-LLM's own default.
        ({"tp": 8, "needs": ServingNeeds(context_tokens=1024, concurrency=64)}, {}, 64, 8192),
    ],
)
def test_sizes_of_a_batch(
    degrees: dict[str, Any], options: dict[str, Any], batch: int, tokens: int
) -> None:
    """Room for the largest prompt and for one step of all requests."""
    found = args(process(request(**degrees), **options))
    assert (found["max_batch_size"], found["max_num_tokens"]) == (batch, tokens)


def test_sizes_of_pools() -> None:
    """Prefill: whole prompts; decode: a step of its requests, drafts included; graphs for decode
    only.
    """
    asked = request(pools=xpyd(3, 1), precision="nvfp4", chip=B200)
    plan = {one.role: one for one in engine(**_MTP).plan(asked).processes}
    prefill, decode = args(plan["prefill"]), args(plan["decode"])
    assert (prefill["max_batch_size"], prefill["max_num_tokens"]) == (1, 16640)
    assert (decode["max_batch_size"], decode["max_num_tokens"]) == (16, 64)
    assert prefill["cuda_graph_config"] is None
    assert decode["cuda_graph_config"] == {"enable_padding": True, "max_batch_size": 16}
    assert prefill["disable_overlap_scheduler"] is True
    assert "disable_overlap_scheduler" not in decode
    for one in (prefill, decode):
        config = {"backend": "DEFAULT", "max_tokens_in_buffer": 9280}
        assert one["cache_transceiver_config"] == config


def test_unknown_lengths_leave_the_models_own() -> None:
    """Without a context, TensorRT-LLM's own default of tokens holds."""
    found = args(process(request(needs=ServingNeeds(concurrency=4))))
    assert "max_seq_len" not in found and found["max_num_tokens"] == 8192


@pytest.mark.parametrize(
    ("chip", "precision", "degrees", "backend"),
    [
        (B200, "nvfp4", {"tp": 8, "ep": 8}, "TRTLLM"),
        (B200, "nvfp4", {"tp": 8, "ep": 8, "attention_dp": 8}, "CUTLASS"),
        (B200, "fp8", {"tp": 8, "ep": 8, "attention_dp": 8}, "TRTLLM"),
        (H200, "fp8", {"tp": 8}, "CUTLASS"),
        (H200, "mxfp4", {"tp": 8}, "TRITON"),
        (H200, "bf16", {"tp": 16}, None),
        (None, "fp8", {"tp": 8}, None),
    ],
)
def test_kernels_of_experts(
    chip: Any, precision: str, degrees: dict[str, int], backend: str | None
) -> None:
    """By chip, precision and attention DP; none where no source recommends one."""
    asked = request(chip=chip, precision=precision, **degrees)
    assert args(process(asked)).get("moe_config", {}).get("backend") == backend
    assert args(process(asked, moe_backend="deepgemm"))["moe_config"]["backend"] == "DEEPGEMM"


def test_a_dense_model_has_no_settings_of_experts() -> None:
    """Neither kernels nor a degree."""
    found = args(process(request(LLAMA_70B, tp=4)))
    assert "moe_config" not in found and "moe_expert_parallel_size" not in found


def test_prefix_cache_off_and_on() -> None:
    """Block reuse is on unless told otherwise; the suite's needs decide."""
    for wanted in (False, True):
        asked = request(needs=ServingNeeds(prefix_caching=wanted))
        assert args(process(asked))["kv_cache_config"]["enable_block_reuse"] is wanted


@pytest.mark.parametrize(
    ("options", "config"),
    [
        (_MTP, {"decoding_type": "MTP", "max_draft_len": 3}),
        (
            {"speculation": "ngram", "speculative_tokens": 4, "ngram_max": 3},
            {"decoding_type": "NGram", "max_draft_len": 4, "max_matching_ngram_size": 3},
        ),
        (
            {"speculation": "eagle3", "speculative_tokens": 3},
            {"decoding_type": "Eagle3", "max_draft_len": 3, "speculative_model": "{weights:head}"},
        ),
        (
            {"speculation": "draft", "speculative_tokens": 2, "speculative_model": "/m/small"},
            {"decoding_type": "Draft_Target", "max_draft_len": 2, "speculative_model": "/m/small"},
        ),
    ],
)
def test_speculation(options: dict[str, Any], config: dict[str, Any]) -> None:
    """Each method under its name; the model's own weights as a symbol."""
    asked = request(extra={"head": draft_weights("eagle")})
    plan = engine(**options).plan(asked)
    assert args(plan.processes[0])["speculative_config"] == config
    assert plan.speculation == options["speculation"]


def test_synthetic_acceptance_is_marked() -> None:
    """The variable counts accepted drafts, without the target's token; evals are asked without."""
    made = engine(**_MTP, synthetic_acceptance_length=2.4)
    plan = made.plan(request())
    assert plan.processes[0].environment["TLLM_SPEC_DECODE_FORCE_NUM_ACCEPTED_TOKENS"] == "1.4"
    assert made.synthetic_acceptance(plan)
    real = made.plan(request(needs=ServingNeeds(real_acceptance=True)))
    assert not made.synthetic_acceptance(real)


def test_several_hosts_are_started_by_mpi() -> None:
    """One rank per accelerator; rank 0 alone is started by core and reads the file."""
    one = process(request(tp=16, ep=16, attention_dp=16))
    assert (one.ranks, one.leader_only, one.accelerators) == (2, True, 16)
    assert one.wrap[0] == "mpirun" and one.wrap[-1] == "trtllm-llmapi-launch"
    words = " ".join(one.wrap)
    assert "--host {hosts} --map-by ppr:8:node -n 16" in words
    assert "-x TRTLLM_NO_USAGE_STATS" in words
    # Set by an amendment, and needed by the ranks of other hosts, too.
    assert "-x NCCL_SOCKET_IFNAME" in words and "-x TRTLLM_WORKER_DISABLE_GC" in words
    assert args(one)["gpus_per_node"] == 8
    alone = process(request())
    assert (alone.ranks, alone.leader_only, alone.wrap) == (1, False, ())
    assert "gpus_per_node" not in args(alone)


def test_the_router_knows_every_server() -> None:
    """Hosts and ports as symbols; it starts after them, and requests are sent to it."""
    plan = engine().plan(request(pools=xpyd(2, 1)))
    router = plan.processes[-1]
    content = args(router)
    assert router.argv[-2:] == ("tensorrt_llm.commands.serve", "disaggregated")
    assert content["port"] == "{port:http}"
    # A request that is sent again would be measured as one that took longer.
    assert content["max_retries"] == 0 and router.environment["TRTLLM_DISAGG_NO_RETRY"] == "1"
    assert content["context_servers"] == {
        "num_instances": 2,
        "urls": tuple(f"{{prefill.{n}.host}}:{{prefill.{n}.port:http}}" for n in range(2)),
    }
    assert content["generation_servers"]["urls"] == ("{decode.0.host}:{decode.0.port:http}",)
    assert router.after == ("prefill", "decode") and router.accelerators == 0
    assert [one.role for one in plan.endpoints] == ["router", "prefill", "decode"]
    pages = [one.metrics_path for one in plan.endpoints]
    assert pages == [None, "/prometheus/metrics", "/prometheus/metrics"]
    roles = {one.role: one.flags.get("--server_role") for one in plan.processes}
    assert roles == {"prefill": "CONTEXT", "decode": "GENERATION", "router": None}
    assert plan.first_prompt_tokens == 65


def test_a_worker_has_everything_in_its_file() -> None:
    """An orchestrator renames one flag; counting is its own."""
    one = engine(**_MTP).worker(request(), "server")
    assert one.flags == {"--config": "{file:llm-args.yaml}"}
    assert one.ports == () and one.ready is None
    assert "return_perf_metrics" not in args(one)
    with pytest.raises(KeyError):
        engine().worker(request(), "nobody")


def test_without_metrics_there_is_no_page() -> None:
    """The server registers it with return_perf_metrics only."""
    plan = engine(request_metrics=False).plan(request())
    assert plan.endpoints[0].metrics_path is None
    assert "return_perf_metrics" not in args(plan.processes[0])


def _refused(asked: Any, **options: Any) -> UsageError:
    with pytest.raises(UsageError) as caught:
        engine(**options).plan(asked)
    return caught.value


def test_too_little_memory() -> None:
    """671 GB of weights on 4 x 141 GiB."""
    error = _refused(request(chip=H200, tp=4))
    assert "does not fit: weights 624.9 GiB" in str(error)
    assert "4 x h200 x 141.0 GiB" in str(error) and "at least 5 x h200" in (error.hint or "")


@pytest.mark.parametrize(
    ("asked", "options", "says"),
    [
        (request(LLAMA_70B, tp=8, ep=8), {}, "has no experts"),
        (request(LLAMA_70B, tp=6), {}, r"64 / 6 = 10.67"),
        (request(LLAMA_70B), _MTP, "name no MTP heads"),
        (request(chip=H200, precision="nvfp4"), {}, "does not compute in fp4"),
        (request(tp=8, attention_dp=4), {}, "attention DP only over all"),
        (request(tp=8, ep=3), {}, r"8 / 3 = 2.667"),
        (request(tp=4, ep=8), {}, "groups of its tp ranks"),
        (request(LLAMA_70B, tp=1, pp=81), {}, "80 layers, fewer than stages"),
        (request(chip=GB200, tp=6, pp=1, attention_dp=6), {}, "a host with gb200 has 4"),
        (request(needs=ServingNeeds(context_tokens=200_000)), {}, "supports 163840"),
        (
            request(),
            {"speculation": "draft", "speculative_tokens": 3},
            "needs weights for drafting",
        ),
        (request(), {"tool_call_parser": "model"}, "names no tool parser of TensorRT-LLM"),
        (request(), {"chat_template_file": "/no/such"}, "cannot read the chat template"),
        (request(pools=(Pool(replicas=2, topology=Topology(tp=8)),)), {}, "need a router"),
        (request(pools=(Pool(engine="vllm", topology=Topology(tp=8)),)), {}, "names the engine"),
    ],
)
def test_impossible_plans(asked: Any, options: dict[str, Any], says: str) -> None:
    """Refused before anything starts, with the numbers and with what to do."""
    error = _refused(asked, **options)
    assert says in str(error), error
    assert error.hint


def test_attention_dp_needs_no_whole_heads() -> None:
    """Each rank has all heads then."""
    assert args(process(request(DEEPSEEK_R1, chip=None, tp=6, attention_dp=6)))[
        "enable_attention_dp"
    ]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"speculative_tokens": 3}, "needs speculation, which is none"),
        ({"speculation": "mtp"}, "needs speculative_tokens=N"),
        ({**_MTP, "synthetic_acceptance_length": 5.0}, "at most 4"),
        ({"cuda_graphs": False, "cuda_graph_batch_sizes": (1,)}, "needs cuda_graphs=true"),
        ({"cuda_graphs": False, "cuda_graph_padding": False}, "needs cuda_graphs=true"),
        ({**_MTP, "ngram_max": 3}, "ngram_max needs speculation=ngram"),
        ({"request_metrics": False, "iteration_metrics": True}, "needs request_metrics=true"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], says: str) -> None:
    """Refused with the option's name."""
    with pytest.raises(ValueError, match=says):
        engine(**options)


def test_a_revision_of_the_hub_is_that_of_the_tokenizer_too() -> None:
    """A folder has none."""
    found = args(process(request(source="hub:org/name")))
    assert found["revision"] == found["tokenizer_revision"] == "abc"
    assert "revision" not in args(process(request()))


def test_options_of_the_kv_cache() -> None:
    """All of them in one section of the file."""
    options = {"kv_cache_dtype": "fp8", "block_size": 64, "kv_offload_gib": 2.0}
    found = args(process(request(), **options, free_gpu_memory_fraction=0.8))["kv_cache_config"]
    assert found == FrozenMap(
        {
            "enable_block_reuse": False,
            "dtype": "fp8",
            "free_gpu_memory_fraction": 0.8,
            "tokens_per_block": 64,
            "host_cache_size": 2 << 30,
        }
    )


@pytest.mark.parametrize(
    ("pools", "options", "message"),
    [
        ((Pool(name="s"), *xpyd(1, 1)), {}, "the pool 's' is a server beside pools for prefill"),
        ((Pool(),), {"kv_connector": "nixl"}, "kv_connector: there are no pools for prefill"),
        ((Pool(),), {"attention_dp_balance": True}, "attention_dp_balance: attention DP is off"),
    ],
)
def test_pools_and_options_that_no_process_would_use(
    pools: tuple[Pool, ...], options: dict[str, Any], message: str
) -> None:
    """The router knows nothing of them, or there is none."""
    with pytest.raises(UsageError, match=message) as refused:
        engine(**options).plan(request(pools=pools))
    assert refused.value.hint
