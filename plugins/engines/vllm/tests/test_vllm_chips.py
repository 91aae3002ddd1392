"""Plans for TPUs and Trainium: planned, and unproven."""

from __future__ import annotations

from typing import Any

import pytest
from tokenbench_engine_vllm.grammar import captured
from vllm_cases import DEEPSEEK_R1, GIB, LLAMA_70B, engine, process, request

from tokenbench.api import EngineRequest, FrozenMap, Pool, ServingNeeds, Sku, UsageError

_REUSE = ServingNeeds(context_tokens=2048, concurrency=4, prefix_caching=True)


def _chip(name: str, here: int) -> Sku:
    return Sku(
        name=name,
        vendor="test",
        source="test",
        date="2026-12-01",
        memory_bytes=512 * GIB,
        accelerators_per_host=here,
    )


_APART = (Pool(role="prefill"), Pool(role="decode"))
_CHIPS = {
    "tpuv7": ("tpu", _chip("tpuv7", 4)),
    "tpuv6e": ("tpu", _chip("tpuv6e", 8)),
    "trn1": ("trainium", _chip("trn1", 16)),
    "trn2": ("trainium", _chip("trn2", 16)),
    "trn3": ("trainium", _chip("trn3", 4)),
}


def _on(name: str, shape: Any = LLAMA_70B, **more: Any) -> EngineRequest:
    kind, chip = _CHIPS[name]
    return request(shape, kind=kind, chip=chip, **more)


@pytest.mark.parametrize(
    ("name", "tp", "flag"),
    [("tpuv7", 4, 8), ("tpuv7", 1, 2), ("tpuv6e", 8, 8), ("trn1", 16, 32), ("trn2", 16, 64)],
)
def test_tensor_parallelism_counts_what_the_build_calls_a_device(
    name: str, tp: int, flag: int
) -> None:
    """A topology counts chips, and so do the accelerators of the process."""
    found = process(_on(name, tp=tp))
    assert found.flags["--tensor-parallel-size"] == flag
    assert found.accelerators == tp


def test_attention_dp_on_a_tpu() -> None:
    """A layout of one tensor-parallel group, which latent attention needs."""
    found = process(_on("tpuv7", DEEPSEEK_R1, tp=4, attention_dp=4, ep=4))
    strategy = FrozenMap({"enable_dp_attention": True, "attn_dp_size": 8})
    assert found.flags["--additional-config"] == FrozenMap(
        {"sharding": FrozenMap({"sharding_strategy": strategy})}
    )
    assert found.flags["--tensor-parallel-size"] == 8
    assert found.flags["--enable-expert-parallel"] is True
    assert not [flag for flag in found.flags if flag.startswith("--data-parallel")]
    assert found.environment["NEW_MODEL_DESIGN"] == "1"


@pytest.mark.parametrize(("tp", "bounds"), [(1, "1,1,1"), (2, "1,2,1"), (4, None), (8, None)])
def test_part_of_a_tpu_host(tp: int, bounds: str | None) -> None:
    """Libtpu has to be told the shape, where it is known."""
    found = process(_on("tpuv6e", tp=tp)).environment
    assert found.get("TPU_CHIPS_PER_PROCESS_BOUNDS") == bounds
    assert "NEW_MODEL_DESIGN" not in found


def test_blocks_on_trainium() -> None:
    """Their number is always set; with prefix caching, they have a size."""
    plain = process(_on("trn2", tp=4, needs=ServingNeeds(context_tokens=2048, concurrency=4))).flags
    assert plain["--num-gpu-blocks-override"] == 4
    assert "--block-size" not in plain and "--additional-config" not in plain
    reused = process(_on("trn2", tp=4, needs=_REUSE), block_size=32).flags
    assert reused["--num-gpu-blocks-override"] == 64 * 4
    config = reused["--additional-config"]
    assert isinstance(config, FrozenMap)
    assert config["override_neuron_config"]["pa_num_blocks"] == 256


def test_seeds() -> None:
    """JAX has none for each request."""
    assert not engine().dialect(_on("tpuv7")).seed
    assert engine().dialect(_on("trn2")).seed
    assert engine().dialect(request()).seed


@pytest.mark.parametrize(
    ("asked", "options", "says"),
    [
        (_on("trn3", tp=4), {}, "does not name trn3"),
        (_on("trn2", tp=2, pp=2), {}, "pp=2 is not planned there"),
        (_on("trn2", dp=2), {}, "dp=2 is not planned there"),
        (_on("trn2", DEEPSEEK_R1, tp=4, attention_dp=4, ep=4), {}, "is not planned there"),
        (_on("trn2", tp=4, needs=_REUSE), {}, "blocks have no size"),
        (_on("trn2", tp=4, needs=_REUSE), {"block_size": 32, "max_num_seqs": 1}, "wrong answers"),
        (
            _on("tpuv7", pools=(Pool(role="prefill"), Pool(role="decode"))),
            {},
            "no nixl between prefill and decode",
        ),
        (_on("tpuv7"), {"kv_offload": "native", "kv_offload_gib": 1.0}, "no KV offload"),
        (_on("tpuv7"), {"cudagraph_mode": "full"}, "no use for cudagraph_mode"),
        (_on("tpuv7"), {"eplb": True}, "no use for eplb"),
        (
            _on("tpuv7"),
            {"speculation": "draft", "speculative_tokens": 2, "speculative_model": "/d"},
            "speculation=draft is not among",
        ),
    ],
)
def test_refused(asked: EngineRequest, options: dict[str, Any], says: str) -> None:
    """What a build lacks, with its version and the date."""
    with pytest.raises(UsageError, match=says) as caught:
        engine(**options).plan(asked)
    assert "read 2026-12-01" in caught.value.message
    assert caught.value.hint


def test_vllm_takes_the_flags() -> None:
    """They are vLLM's own; `--additional-config` is where plugins have theirs."""
    known = {name for flag in captured()["flags"] for name in flag["names"]}
    for asked, options in (
        (_on("tpuv7", DEEPSEEK_R1, tp=4, attention_dp=4, ep=4), {}),
        (_on("trn2", tp=4, needs=_REUSE), {"block_size": 32}),
    ):
        assert set(process(asked, **options).flags) <= known
