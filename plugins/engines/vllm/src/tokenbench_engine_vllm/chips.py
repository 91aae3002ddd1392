"""vLLM's builds for TPU and Trainium, which are plugins of vLLM with limits of their own. Unproven:
neither ran here.

Facts: tpu-inference v0.27.0 (2026-08-20), `platforms/tpu_platform.py`, `layers/common/sharding.py`,
its CI's settings and `support_matrices/nightly/v7x`; vllm-neuron 0.2.0 (2025-11-14), `platform.py`
and README; AWS Neuron documentation, "Best practices for training" (logical cores of Trn2) and
"Trainium" (all read 2026-12-01).
"""

from __future__ import annotations

from typing import Any

import attrs

from tokenbench.api import SERVER, EngineRequest, FlagValue, FrozenMap, Pool, UsageError

from .options import VllmOptions
from .parallel import Ranks

TPU, TRAINIUM = "tpu", "trainium"
# Options whose flags these builds ignore or refuse: they have one kind of kernels and of compiler.
_NOT_THERE = (
    "all2all_backend",
    "eplb",
    "attention_backend",
    "moe_backend",
    "compile_level",
    "cudagraph_mode",
    "cudagraph_capture_sizes",
)


@attrs.frozen(kw_only=True)
class _Build:
    """A build. `cores`: devices of a chip that its tensor-parallel size counts, by SKU. `skus`:
    those that it names (empty: all). `degrees`: what may exceed 1. `drafting`: the methods that it
    names.
    """

    name: str
    cores: dict[str, int]
    skus: tuple[str, ...] = ()
    degrees: tuple[str, ...]
    drafting: tuple[str, ...]


_BUILDS = {
    TPU: _Build(
        name="tpu-inference v0.27.0 (read 2026-12-01)",
        # Its CI runs tpu7x with 2 devices a chip; a tensor-parallel size of 1 fails there.
        cores={"tpuv7": 2},
        degrees=("tp", "pp", "dp", "dcp", "pcp"),
        drafting=("ngram", "eagle3"),
    ),
    TRAINIUM: _Build(
        name="vllm-neuron 0.2.0 (read 2026-12-01)",
        # Logical NeuronCores: pairs of the eight of a Trainium2.
        cores={"trn1": 2, "trn2": 4},
        skus=("trn1", "trn2"),
        degrees=("tp",),
        drafting=("eagle",),
    ),
}
# Two chips are a tray (libtpu; Ray, accelerators/tpu.py, read 2026-11).
_BOUNDS = {1: "1,1,1", 2: "1,2,1"}


def check_build(
    request: EngineRequest, options: VllmOptions, ranks: Ranks, pool: Pool, hosts: int
) -> None:
    """Check that the build for the chip can do it.

    Raises:
        UsageError: it cannot.
    """
    build = _BUILDS.get(request.hardware.kind)
    if build is None:
        return
    found = _problem(build, request, options, ranks, pool, hosts)
    if found is not None:
        what, hint = found
        raise UsageError(f"{what}: {build.name}", hint=hint)


def _problem(
    build: _Build,
    request: EngineRequest,
    options: VllmOptions,
    ranks: Ranks,
    pool: Pool,
    hosts: int,
) -> tuple[str, str] | None:
    sku = request.hardware.sku
    if build.skus and request.hardware.chip is not None and sku not in build.skus:
        return f"vLLM's build does not name {sku}", f"it names {', '.join(build.skus)}"
    for name in ("tp", "pp", "dp", "dcp", "pcp"):
        if getattr(ranks, name) > 1 and name not in build.degrees:
            return f"{name}={getattr(ranks, name)} is not planned there", "use tp"
    if hosts > 1:
        return "several hosts are not planned there", "use a smaller topology"
    if pool.role != SERVER:
        return (
            f"vLLM's build has no {options.kv_connector} between prefill and decode",
            "use one pool of the role server",
        )
    if options.kv_offload != "none":
        return f"vLLM's build has no KV offload {options.kv_offload!r}", "leave kv_offload out"
    if options.speculation not in ("none", *build.drafting):
        return (
            f"speculation={options.speculation} is not among what vLLM's build names",
            f"it names {', '.join(build.drafting)}",
        )
    given = [name for name in _NOT_THERE if getattr(options, name) not in (None, False, ())]
    if given:
        return f"vLLM's build has no use for {given[0]}", "leave it out"
    if request.hardware.kind == TRAINIUM:
        return _neuron_problem(request, options)
    return None


def _neuron_problem(request: EngineRequest, options: VllmOptions) -> tuple[str, str] | None:
    if not request.needs.prefix_caching:
        return None
    if options.block_size is None:
        return "with prefix caching, blocks have no size of their own", "name it: block_size=32"
    if _batch(request, options) == 1:
        return "prefix caching gives wrong answers in batches of one", "use more concurrency"
    return None


def _batch(request: EngineRequest, options: VllmOptions) -> int:
    return options.max_num_seqs or request.needs.concurrency


def adapted(
    flags: dict[str, FlagValue],
    request: EngineRequest,
    options: VllmOptions,
    ranks: Ranks,
    pool: Pool,
) -> dict[str, FlagValue]:
    """The flags as the build for the chip takes them."""
    kind = request.hardware.kind
    if kind not in _BUILDS:
        return flags
    found = {**flags, "--tensor-parallel-size": _devices(request, ranks.tp)}
    if kind == TRAINIUM:
        return found | _neuron_flags(request, options, flags)
    attention = pool.topology.attention_dp
    if attention <= 1:
        return found
    # Attention DP is a way to lay out one tensor-parallel group, not ranks of their own.
    for name in ("size", "address", "rpc-port"):
        found.pop(f"--data-parallel-{name}", None)
    strategy: dict[str, Any] = {
        "enable_dp_attention": True,
        "attn_dp_size": _devices(request, attention),
    }
    return found | {
        "--tensor-parallel-size": _devices(request, ranks.tp * ranks.dp),
        "--additional-config": _nested({"sharding": {"sharding_strategy": strategy}}),
    }


def _neuron_flags(
    request: EngineRequest, options: VllmOptions, flags: dict[str, FlagValue]
) -> dict[str, FlagValue]:
    """Without its number of blocks, the build may read past the end of its cache. Without prefix
    caching, a block is as long as the context.
    """
    batch, context = _batch(request, options), flags.get("--max-model-len")
    if not request.needs.prefix_caching:
        return {"--num-gpu-blocks-override": batch, "--block-size": None}
    size = options.block_size
    if size is None or not isinstance(context, int):
        return {}
    blocks = -(-context // size) * batch
    cache = {
        "is_prefix_caching": True,
        "is_block_kv_layout": True,
        "pa_num_blocks": blocks,
        "pa_block_size": size,
    }
    return {
        "--num-gpu-blocks-override": blocks,
        "--additional-config": _nested({"override_neuron_config": cache}),
    }


def _devices(request: EngineRequest, chips: int) -> int:
    return chips * _BUILDS[request.hardware.kind].cores.get(request.hardware.sku or "", 1)


def build_environment(request: EngineRequest, ranks: Ranks) -> dict[str, str]:
    """Variables for the build."""
    if request.hardware.kind != TPU:
        return {}
    found = {}
    if request.architecture.latent_dim is not None:
        # Models with latent attention have no other implementation.
        found["NEW_MODEL_DESIGN"] = "1"
    chip = request.hardware.chip
    here = None if chip is None else chip.accelerators_per_host
    if here is not None and ranks.count < here and ranks.count in _BOUNDS:
        found |= {
            "TPU_PROCESS_BOUNDS": "1,1,1",
            "TPU_CHIPS_PER_PROCESS_BOUNDS": _BOUNDS[ranks.count],
        }
    return found


def seeds(kind: str) -> bool:
    """Whether requests may have a seed: the build for TPU refuses them."""
    return kind != TPU


def _nested(value: Any) -> Any:
    if isinstance(value, dict):
        return FrozenMap({key: _nested(item) for key, item in value.items()})
    return value
