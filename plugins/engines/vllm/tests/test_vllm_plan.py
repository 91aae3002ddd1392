"""Plans: topologies as vLLM's degrees, sizes, environment, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from tokenbench_engine_vllm.plugin import VllmOptions
from vllm_cases import (
    DEEPSEEK_R1,
    GIB,
    H200,
    LLAMA_70B,
    SMOLLM2,
    draft_weights,
    engine,
    process,
    request,
)

from tokenbench.api import Architecture, FrozenMap, Layout, Pool, ServingNeeds, UsageError

_TP, _DP = "--tensor-parallel-size", "--data-parallel-size"
_EP = "--enable-expert-parallel"


def _fp8(**more: Any) -> Any:
    return request(DEEPSEEK_R1, precision="fp8", **more)


@pytest.mark.parametrize(
    ("degrees", "tp", "dp", "expert_parallel"),
    [
        ({"tp": 8}, 8, None, None),
        ({"tp": 8, "ep": 8}, 8, None, True),
        # InferenceX's "dp-attention: true": 8 accelerators, attention in 8 groups.
        ({"tp": 8, "ep": 8, "attention_dp": 8}, 1, 8, True),
        ({"dp": 8, "ep": 8}, 1, 8, True),
        ({"dp": 8, "ep": 8, "attention_dp": 8}, 1, 8, True),
        ({"tp": 4, "dp": 2, "ep": 8, "attention_dp": 4}, 2, 4, True),
    ],
)
def test_topologies_of_a_model_with_experts(
    degrees: dict[str, int], tp: int, dp: int | None, expert_parallel: bool | None
) -> None:
    """Attention DP is vLLM's data parallelism; experts spread over all ranks or none."""
    found = process(_fp8(**degrees))
    assert found.flags[_TP] == tp
    assert found.flags.get(_DP) == dp
    assert found.flags.get(_EP) is expert_parallel
    assert found.accelerators == 8


def test_every_degree_is_written() -> None:
    """pp, dcp and pcp, too; degrees of one are left out."""
    flags = process(request(LLAMA_70B, tp=2, pp=2, pcp=2)).flags
    assert (flags[_TP], flags["--pipeline-parallel-size"]) == (2, 2)
    assert flags["--prefill-context-parallel-size"] == 2
    assert process(_fp8(tp=8, dcp=8)).flags["--decode-context-parallel-size"] == 8
    single = process(request()).flags
    assert not [name for name in single if "parallel" in name]


def test_data_parallel_ranks_meet_on_the_planned_host() -> None:
    """Not on the address of the first network."""
    found = process(request(kind="cpu", dp=2))
    assert found.flags["--data-parallel-address"] == "{host}"
    # Nor on one port for all servers of the host.
    assert found.flags["--data-parallel-rpc-port"] == "{port:dp}"
    assert [port.name for port in found.ports] == ["http", "dp"]
    assert found.environment["VLLM_HOST_IP"] == "{host}"
    # vLLM's automatic binding wants a NUMA node for each rank.
    assert found.environment["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"
    assert found.accelerators == 0


def test_prefix_caching_follows_the_needs() -> None:
    """vLLM switches it on by default, so that off must be written."""
    assert process(request()).flags["--enable-prefix-caching"] is False
    needs = ServingNeeds(prefix_caching=True)
    assert process(request(needs=needs)).flags["--enable-prefix-caching"] is True


def test_sizes_follow_the_needs() -> None:
    """Context and batch; room for evals if prompts are short; no flag if nothing is known."""
    flags = process(request()).flags
    assert (flags["--max-model-len"], flags["--max-num-seqs"]) == (2048, 16)
    small = request(needs=ServingNeeds(context_tokens=96, concurrency=2))
    assert process(small).flags["--max-model-len"] == 512
    short = attrs.evolve(SMOLLM2, context_tokens=256)
    small = request(short, needs=ServingNeeds(context_tokens=96))
    assert process(small).flags["--max-model-len"] == 256
    unknown = process(request(needs=ServingNeeds())).flags
    assert "--max-model-len" not in unknown
    given = process(request(), context_tokens=4096, max_num_seqs=3).flags
    assert (given["--max-model-len"], given["--max-num-seqs"]) == (4096, 3)


def test_the_cache_on_cpu_holds_a_full_batch() -> None:
    """2 x 30 layers x 3 heads x 64 x 2 bytes = 23,040 bytes a token; 17 blocks of 128 tokens for a
    context of 2,048: 50.1 MB for each of 16 or 32 sequences.
    """
    asked = request(kind="cpu")
    assert process(asked).environment["VLLM_CPU_KVCACHE_SPACE"] == "1"
    asked = request(kind="cpu", needs=ServingNeeds(context_tokens=2048, concurrency=32))
    assert process(asked).environment["VLLM_CPU_KVCACHE_SPACE"] == "2"
    assert process(asked, kv_cache_gib=5).environment["VLLM_CPU_KVCACHE_SPACE"] == "5"
    found = process(request(), kv_cache_gib=5)
    assert found.flags["--kv-cache-memory-bytes"] == 5 * GIB
    assert "VLLM_CPU_KVCACHE_SPACE" not in found.environment


@pytest.mark.parametrize(
    ("source", "options", "offline"),
    [
        ("file:/models/m", {}, True),
        ("hub:org/m", {}, False),
        ("file:/models/m", {"speculative_model": "/models/d"}, True),
        ("file:/models/m", {"speculative_model": "org/d"}, False),
        ("file:/models/m", {"speculative_model": "small"}, False),
    ],
)
def test_no_network_if_nothing_is_to_be_downloaded(
    source: str, options: dict[str, Any], offline: bool
) -> None:
    """Weights of the hub, also those that draft, need it; a revision pins them."""
    if options:
        options = {"speculation": "draft", "speculative_tokens": 3, **options}
    extra = {"small": draft_weights("draft", "hub:org/small")}
    found = process(request(source=source, extra=extra), **options)
    assert (found.environment.get("HF_HUB_OFFLINE") == "1") is offline
    on_hub = source.startswith("hub:")
    assert found.flags.get("--revision") == ("abc" if on_hub else None)
    assert found.flags.get("--tokenizer-revision") == ("abc" if on_hub else None)


def test_speculation() -> None:
    """The configuration of each method, with weights by symbol, name or path."""

    def config(extra: dict[str, Any] | None = None, **options: Any) -> Any:
        asked = request(DEEPSEEK_R1, precision="fp8", extra=extra, tp=8)
        return process(asked, speculative_tokens=3, **options).flags["--speculative-config"]

    assert config(speculation="ngram") == {
        "method": "ngram",
        "num_speculative_tokens": 3,
        "prompt_lookup_min": 2,
        "prompt_lookup_max": 4,
    }
    assert config(speculation="mtp") == {"method": "mtp", "num_speculative_tokens": 3}
    asked = request(DEEPSEEK_R1, precision="fp8", tp=8)
    drafting = engine(speculation="mtp", speculative_tokens=3).plan(asked)
    assert (drafting.speculation, engine().plan(asked).speculation) == ("mtp", "none")
    heads = {"a": draft_weights("eagle"), "b": draft_weights("draft")}
    assert config(heads, speculation="eagle3")["model"] == "{weights:a}"
    assert config(heads, speculation="draft")["model"] == "{weights:b}"
    assert config(heads, speculation="draft", speculative_model="/d")["model"] == "/d"
    with pytest.raises(UsageError, match="needs weights for drafting: m has none"):
        config(speculation="eagle3")
    with pytest.raises(UsageError, match="'a' of the model 'm' are for 'eagle'"):
        config(heads, speculation="draft", speculative_model="a")
    with pytest.raises(UsageError, match="no weights named 'c'"):
        config(heads, speculation="draft", speculative_model="c")


def test_synthetic_acceptance_is_in_the_identity() -> None:
    """It is a setting of the process, so that points with it are never compared as equal."""
    options: dict[str, Any] = {"speculation": "mtp", "speculative_tokens": 3}
    real = process(_fp8(tp=8), **options)
    fake = process(_fp8(tp=8), **options, synthetic_acceptance_length=2.5)
    config = fake.flags["--speculative-config"]
    assert isinstance(config, FrozenMap)
    assert config["rejection_sample_method"] == "synthetic"
    assert config["synthetic_acceptance_length"] == 2.5
    assert real.flags != fake.flags


@pytest.mark.parametrize(
    "flags",
    [
        {"--speculative-config": FrozenMap(rejection_sample_method="synthetic")},
        {"--speculative-config": '{"rejection_sample_method": "synthetic"}'},
        {"--speculative-config.rejection_sample_method": "synthetic"},
        {"--speculative-config.synthetic_acceptance_length": 2.5},
    ],
)
def test_synthetic_acceptance_is_seen_whoever_sets_it(flags: dict[str, Any]) -> None:
    """By an option, a recipe or the suite, in any form. A twin for evals is planned without."""
    options: dict[str, Any] = {"speculation": "mtp", "speculative_tokens": 3}
    made = engine(**options, synthetic_acceptance_length=2.5)
    asked = _fp8(tp=8)
    assert made.synthetic_acceptance(made.plan(asked))
    real = attrs.evolve(asked, needs=attrs.evolve(asked.needs, real_acceptance=True))
    plan = made.plan(real)
    assert not made.synthetic_acceptance(plan)
    (process_,) = plan.processes
    changed = attrs.evolve(process_, flags=FrozenMap({**process_.flags, **flags}))
    assert made.synthetic_acceptance(attrs.evolve(plan, processes=(changed,)))


def test_offloading() -> None:
    """Native by flags; LMCache within vLLM's processes, its size by variables and rank."""
    native = process(request(), kv_offload="native", kv_offload_gib=16.0).flags
    assert native["--kv-offloading-backend"] == "native"
    assert native["--kv-offloading-size"] == 16.0
    found = process(request(LLAMA_70B, tp=4), kv_offload="lmcache", kv_offload_gib=16.0)
    assert found.flags["--kv-transfer-config"] == {
        "kv_connector": "LMCacheConnectorV1",
        "kv_role": "kv_both",
    }
    assert found.environment["LMCACHE_MAX_LOCAL_CPU_SIZE"] == "4"


def test_a_worker_has_no_server() -> None:
    """An orchestrator has the flags of the HTTP server itself."""
    pools = (Pool(role="prefill"), Pool(role="decode", replicas=2))
    asked = attrs.evolve(request(), layout=Layout(pools=pools))
    found = engine().worker(asked, "decode")
    assert (found.role, found.replicas) == ("decode", 2)
    assert [port.name for port in found.ports] == ["nixl"]
    assert "--port" not in found.flags and "--max-model-len" in found.flags
    with pytest.raises(KeyError):
        engine().worker(asked, "server")


def test_a_chat_template_is_part_of_the_plan(tmp_path: Path) -> None:
    """Its content identifies the plan, not its path."""
    template = tmp_path / "t.jinja"
    template.write_text("{{ messages }}")
    found = process(request(), chat_template_file=str(template))
    assert found.files[0].content == "{{ messages }}"
    assert found.flags["--chat-template"] == "{file:chat-template.jinja}"
    with pytest.raises(UsageError, match="cannot read the chat template"):
        process(request(), chat_template_file=str(tmp_path / "none"))


def _refused(asked: Any, **options: Any) -> str:
    with pytest.raises(UsageError) as refusal:
        engine(**options).plan(asked)
    return refusal.value.message


def test_too_little_memory() -> None:
    """Weights and the KV cache of one sequence, against what vLLM may use of the chips."""
    asked = request(DEEPSEEK_R1, precision="fp8", tp=4, needs=ServingNeeds(context_tokens=9000))
    assert _refused(asked) == (
        "m does not fit: weights 624.9 GiB + KV cache of one sequence of 9,000 tokens 0.6 GiB = "
        "625.5 GiB; 4 x h200 x 141.0 GiB x 0.92 = 518.9 GiB"
    )
    # 8 of them are enough; with less of each, they are not.
    engine().plan(_fp8(tp=8))
    assert "x 0.5 = 564.0 GiB" in _refused(_fp8(tp=8), gpu_memory_utilization=0.5)


def test_a_dense_model_is_held_by_each_data_parallel_rank() -> None:
    """Ranks of a model with experts share them."""
    message = _refused(request(LLAMA_70B, dp=8))
    assert "1 x h200 x 141.0 GiB x 0.92 = 129.7 GiB" in message
    engine().plan(request(LLAMA_70B, tp=2, dp=4))


def test_the_cache_counts() -> None:
    """Weights alone would fit; half the bytes a value do."""
    needs = ServingNeeds(context_tokens=131_072)
    chip = attrs.evolve(H200, memory_bytes=160 * GIB)
    asked = request(LLAMA_70B, chip=chip, needs=needs)
    assert "weights 131.4 GiB + KV cache of one sequence of 131,072 tokens 40.0" in _refused(asked)
    engine(kv_cache_dtype="fp8").plan(
        request(LLAMA_70B, chip=attrs.evolve(H200, memory_bytes=165 * GIB), needs=needs)
    )


def test_a_cache_of_a_size_that_is_named_holds_a_sequence() -> None:
    """40 GiB, over all ranks of a server."""
    asked = request(LLAMA_70B, tp=4, needs=ServingNeeds(context_tokens=131_072))
    assert process(asked, kv_cache_gib=10)
    said = "kv_cache_gib=9: one sequence of 131,072 tokens needs 40.0 GiB, and 4 ranks have 36 GiB"
    assert _refused(asked, kv_cache_gib=9) == said


@pytest.mark.parametrize(
    ("shape", "degrees", "message"),
    [
        (LLAMA_70B, {"tp": 8, "ep": 8}, "m has no experts that could be spread"),
        (LLAMA_70B, {"tp": 8, "attention_dp": 8}, "m has no experts, so attention cannot"),
        (DEEPSEEK_R1, {"tp": 8, "ep": 4}, "tp x dp x pcp = 8 x 1 x 1 = 8 ranks, or over none"),
        (SMOLLM2, {"tp": 2}, r"9 attention heads of m cannot be divided by it \(9 / 2 = 4.5\)"),
        (attrs.evolve(LLAMA_70B, heads=96, kv_heads=8), {"tp": 3}, "the 8 KV heads of m"),
        (LLAMA_70B, {"tp": 8, "dcp": 2}, "with tp=8 each of the 8 KV heads of m"),
        (attrs.evolve(SMOLLM2, layers=2), {"pp": 4}, "m has 2 layers, fewer than stages"),
        (DEEPSEEK_R1, {"tp": 16}, "16 accelerators are needed, a host with h200 has 8"),
    ],
)
def test_impossible_topologies(shape: Architecture, degrees: dict[str, int], message: str) -> None:
    """Refused while planning, not by vLLM after a minute."""
    with pytest.raises(UsageError, match=message):
        engine().plan(request(shape, precision="fp8", **degrees))


def test_mtp_needs_heads() -> None:
    """In the model, or as extra weights."""
    options: dict[str, Any] = {"speculation": "mtp", "speculative_tokens": 1}
    assert _refused(request(LLAMA_70B, tp=2), **options) == (
        "speculation=mtp: the facts of m name no MTP heads"
    )
    apart = request(LLAMA_70B, tp=2, extra={"mtp": draft_weights("mtp")})
    assert process(apart, **options).flags["--speculative-config"]["model"] == "{weights:mtp}"  # type: ignore[index,call-overload]


def test_fp4_weights_need_a_chip_that_computes_in_fp4() -> None:
    """Unless the user takes weight-only kernels; mxfp4 has them everywhere."""
    asked = request(LLAMA_70B, precision="nvfp4", tp=4)
    assert _refused(asked) == (
        "m has nvfp4 weights, and h200 does not compute in fp4 (it has fp8, bf16)"
    )
    engine(fp4_weight_only=True).plan(asked)
    engine().plan(request(LLAMA_70B, precision="mxfp4", tp=4))
    b200 = attrs.evolve(H200, name="b200", precisions=("fp4", "fp8", "bf16"))
    engine().plan(request(LLAMA_70B, precision="nvfp4", tp=4, chip=b200))


def test_a_context_larger_than_the_model_s() -> None:
    """While planning."""
    assert "9000 tokens is required, m supports 8192" in _refused(request(), context_tokens=9000)


def test_replicas_need_a_router() -> None:
    """The load would reach the first of them only."""
    layout = Layout(pools=(Pool(replicas=2),))
    assert "need a router" in _refused(attrs.evolve(request(), layout=layout))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speculation": "mtp"}, "needs speculative_tokens"),
        ({"speculative_tokens": 2}, "speculative_tokens needs speculation"),
        ({"synthetic_acceptance_length": 2.0}, "needs speculation"),
        (
            {"speculation": "mtp", "speculative_tokens": 2, "synthetic_acceptance_length": 3.5},
            "expected at most 3",
        ),
        ({"speculation": "ngram", "speculative_tokens": 2, "ngram_min": 9}, "at most ngram_max"),
        ({"ngram_max": 8}, "ngram_max needs speculation=ngram"),
        ({"speculation": "mtp", "speculative_tokens": 2, "ngram_min": 3}, "needs .*=ngram"),
        ({"enforce_eager": True, "cudagraph_mode": "full"}, "needs enforce_eager=false"),
        ({"enforce_eager": True, "cudagraph_capture_sizes": (1,)}, "needs enforce_eager=false"),
        ({"cudagraph_mode": "none", "cudagraph_capture_sizes": (1,)}, "other than none"),
        ({"kv_offload": "native"}, "needs kv_offload_gib=N"),
        ({"kv_offload_gib": 2.0}, "needs kv_offload, which is none"),
    ],
)
def test_contradicting_options(options: dict[str, Any], message: str) -> None:
    """Refused before anything is planned."""
    with pytest.raises(ValueError, match=message):
        VllmOptions(**options)


def test_a_parser_of_the_model_must_exist() -> None:
    """`model` takes the name from the model's facts."""
    assert _refused(request(), tool_call_parser="model") == "m names no tool parser of vLLM"
    assert process(request(), tool_call_parser="hermes").flags["--enable-auto-tool-choice"] is True
