"""Checks of a plan against the model and the chip: whether it fits, how it can be split. For engine
plugins; each error shows the arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .architecture import Architecture, kv_cache_bytes
from .engine import EngineRequest
from .errors import UsageError
from .launch import ProcessSpec
from .model import Weights, weight_bytes
from .sku import Sku
from .topology import SERVER, Layout

_GIB = 1 << 30
# Enough for the readiness check and a short eval.
_LEAST_CONTEXT = 512
# Precisions of weights that are meant for fp4 arithmetic. mxfp4 weights (gpt-oss) are served on
# chips without it as a rule.
_FP4 = ("fp4", "nvfp4")
_BYTES_PER_VALUE = (("fp8", 1.0), ("nvfp4", 0.5), ("fp4", 0.5), ("float32", 4.0))


def is_dense(shape: Architecture) -> bool:
    """Whether the model has no experts. A known shape without `experts` is dense."""
    if shape.experts is not None:
        return shape.experts <= 1
    if shape.parameters is not None and shape.active_parameters is not None:
        return shape.parameters == shape.active_parameters
    return shape.layers is not None


def sequence_bytes(shape: Architecture, tokens: int, kv_dtype: str | None) -> int | None:
    """Cache of one sequence, over all layers; None if unknown.

    Args:
        kv_dtype: the data type of the cache by an engine's name for it (``fp8_e4m3``); None or
            ``auto`` for that of the activations, 16 bits.
    """
    names = (each for name, each in _BYTES_PER_VALUE if (kv_dtype or "").startswith(name))
    found = kv_cache_bytes(shape, tokens, bytes_per_value=next(names, 2.0))
    return None if found is None else found + (shape.state_bytes or 0)


def required_context(request: EngineRequest, asked: int | None = None) -> int | None:
    """The longest prompt and answer of a request: `asked`, or what the workloads need; None for the
    model's own limit.

    Raises:
        UsageError: the model's limit is lower, or less is asked for than the workloads need.
    """
    least = request.needs.context_tokens
    if asked is not None and least is not None and asked < least:
        raise UsageError(
            f"a context of {asked} tokens is too small: a prompt with its answer has up to {least}",
            hint=f"use a context of at least {least} tokens (context_tokens), or leave it out",
        )
    needed = asked or least
    limit = request.architecture.context_tokens
    if needed is not None and limit is not None and needed > limit:
        raise UsageError(
            f"a context of {needed} tokens is required, {request.model} supports {limit}",
            hint="use shorter prompts or outputs",
        )
    return needed


def served_context(
    request: EngineRequest, asked: int | None = None, *, unused: int = 0
) -> int | None:
    """The context that a server is started with: :func:`required_context`, but enough for the
    readiness check and a short eval; None for the model's own limit.

    Args:
        unused: tokens of a context that the engine leaves unused.

    Raises:
        UsageError: the model's limit is lower, or less is asked for than the workloads need.
    """
    needed = required_context(request, asked)
    if needed is None:
        return None
    if unused:  # The sum may exceed the model's limit.
        required_context(request, needed + unused)
    limit = request.architecture.context_tokens
    return max(needed + unused, _LEAST_CONTEXT if limit is None else min(_LEAST_CONTEXT, limit))


def hosts_needed(
    accelerators: int,
    chip: Sku | None,
    *,
    why: str,
    hint: str,
    whole: int = 1,
    most: int | None = None,
) -> int:
    """Hosts that one replica fills; 1 if the size of a host is unknown.

    Args:
        whole: accelerators that have to be on one host together.
        most: hosts that the engine can use.
        why: what the engine needs, for the error.
        hint: what to do instead.

    Raises:
        UsageError: it does not fill whole hosts, or needs more than `most`.
    """
    here = None if chip is None else chip.accelerators_per_host
    if chip is None or here is None or accelerators <= here:
        return 1
    hosts, rest = divmod(accelerators, here)
    if rest or here % whole or (most is not None and hosts > most):
        raise UsageError(
            f"{accelerators} accelerators are needed, a host with {chip.name} has {here}: {why}",
            hint=hint.format(here=here),
            key="topology",
        )
    return hosts


def check_precision(request: EngineRequest, *, hint: str, accepted: bool = False) -> None:
    """Check that the chip computes in the precision of fp4 weights, as far as both are known.

    Args:
        hint: an alternative to other weights.
        accepted: the user accepts that it does not.

    Raises:
        UsageError: it does not.
    """
    chip, weights = request.hardware.chip, request.weights
    if accepted or chip is None or weights is None or not chip.precisions:
        return
    if weights.precision in _FP4 and not set(_FP4) & set(chip.precisions):
        raise UsageError(
            f"{request.model} has {weights.precision} weights, and {chip.name} does not compute in "
            f"fp4 (it has {', '.join(chip.precisions)})",
            hint=f"use weights of another precision (--weights), or {hint}",
            key="weights",
        )


def check_memory(
    request: EngineRequest,
    *,
    ranks: int,
    replicated: int,
    share: float,
    context: int | None,
    kv_dtype: str | None,
) -> None:
    """Check that weights and the cache of one sequence fit. A lower bound: copies on several ranks
    count once, except the weights of a dense model. Activations and graphs are not counted.

    Args:
        ranks: all ranks of one replica, an accelerator each.
        replicated: data-parallel groups, each of which holds all weights of a dense model. The
            experts of other models are split over all ranks.
        share: of each accelerator's memory that the engine uses.
        context: tokens of a sequence; None: its cache is not counted.
        kv_dtype: as for :func:`sequence_bytes`.

    Raises:
        UsageError: they do not fit.
    """
    chip, shape = request.hardware.chip, request.architecture
    weights = None if request.weights is None else weight_bytes(request.weights, shape)
    if weights is None or chip is None or chip.memory_bytes is None:
        return
    sharing = ranks // replicated if is_dense(shape) else ranks
    each = chip.memory_bytes * share
    needs = {"weights": weights}
    cache = None if context is None else sequence_bytes(shape, context, kv_dtype)
    if cache is not None:
        needs[f"KV cache of one sequence of {context:,} tokens"] = cache
    total = sum(needs.values())
    if total <= each * sharing:
        return
    words = " + ".join(f"{name} {_gib(size)}" for name, size in needs.items())
    raise UsageError(
        f"{request.model} does not fit: {words} = {_gib(total)}; {sharing} x {chip.name} x "
        f"{_gib(chip.memory_bytes)} x {share:g} = {_gib(each * sharing)}",
        hint=f"it needs at least {math.ceil(total / each)} x {chip.name} (--tp), a smaller "
        "precision (--weights) or a shorter context",
        key="topology",
    )


def _gib(size: float) -> str:
    return f"{size / _GIB:,.1f} GiB"


def check_build(process: ProcessSpec, build: str, *, without: Sequence[str]) -> None:
    """Check that an engine's build for a chip supports the plan: each server on one host, and none
    of the unsupported flags. For amendments of hardware plugins.

    Args:
        build: its name and version, and when that was read.
        without: the flags of the engine that it ignores or refuses.

    Raises:
        UsageError: the build does not support it.
    """
    if process.ranks > 1:
        raise UsageError(
            f"{build} does not support one server on several hosts",
            hint="use a smaller topology",
            key="topology",
        )
    for flag in without:
        if flag in process.flags:
            raise UsageError(
                f"{build} does not support {flag}",
                hint="leave out the option that sets it; `bench plugins show ENGINE` has the flags",
            )


def check_own_pools(layout: Layout, engine: str) -> None:
    """Check the pools of an engine that plans all of them itself, with a router that sends every
    request through prefill and decode where these are apart.

    Raises:
        UsageError: a pool names another engine, or neither prefills nor decodes.
    """
    for pool in layout.pools:
        if pool.engine is not None:
            raise UsageError(
                f"the pool {pool.key!r} names the engine {pool.engine!r}: the engine {engine} "
                "plans all of its pools itself",
                hint="leave out the pool's engine, or use an engine that orchestrates others",
                key="pools",
            )
    if layout.disaggregated and layout.of_role(SERVER):
        raise UsageError(
            f"the pool {layout.of_role(SERVER)[0].key!r} is a server beside pools for prefill and "
            f"decode: the router of {engine} sends every request through both of these",
            hint="leave it out, or give it the role prefill or decode and a name",
            key="pools",
        )


def check_one_server(layout: Layout, engine: str, *, hint: str) -> None:
    """Check that there is one server, of an engine that has no router for several alike.

    Args:
        engine: its title in the message.
        hint: what to use instead.

    Raises:
        UsageError: there are several.
    """
    if layout.servers > 1:
        raise UsageError(
            f"{layout.servers} replicas of {engine} need a router in front of them",
            hint=hint,
            key="pools",
        )


def check_heads(shape: Architecture, model: str, *, tp: int) -> None:
    """Check that `tp` ranks can share the attention heads and the KV heads, as far as these are
    known. KV heads are split over the ranks, or each is held by several.

    Raises:
        UsageError: they cannot.
    """
    if shape.heads is not None and shape.heads % tp:
        whole = [str(degree) for degree in range(1, tp + 1) if shape.heads % degree == 0]
        raise UsageError(
            f"tp={tp}: the {shape.heads} attention heads of {model} cannot be divided by it "
            f"({shape.heads} / {tp} = {shape.heads / tp:.4g})",
            hint=f"use tp={' or '.join(whole)}; more accelerators with pp or dp",
            key="topology.tp",
        )
    # Multi-head latent attention has one vector instead of KV heads.
    kv_heads = None if shape.latent_dim is not None else shape.kv_heads
    if kv_heads is not None and (kv_heads % tp if kv_heads >= tp else tp % kv_heads):
        raise UsageError(
            f"tp={tp}: the {kv_heads} KV heads of {model} cannot be divided by it",
            hint=f"use a tp that divides {kv_heads}, or is a multiple of it",
            key="topology.tp",
        )


def check_stages(shape: Architecture, model: str, *, pp: int) -> None:
    """Check that each of `pp` stages gets a layer.

    Raises:
        UsageError: one does not.
    """
    if shape.layers is not None and shape.layers < pp:
        raise UsageError(
            f"pp={pp}: {model} has {shape.layers} layers, fewer than stages",
            hint="use a smaller pp",
            key="topology.pp",
        )


def check_experts(
    shape: Architecture,
    model: str,
    *,
    ep: int,
    all_of: int | None = None,
    says: str = "",
) -> None:
    """Check that there are experts to spread over `ep` ranks.

    Args:
        all_of: the ranks that share experts, of an engine that spreads them over all or none.
        says: what the engine does, for that error: ``vLLM spreads experts over 8 ranks``.

    Raises:
        UsageError: there are none, or fewer than ranks, or it is another number than `all_of`.
    """
    if is_dense(shape):
        raise UsageError(
            f"ep={ep}: {model} has no experts that could be spread over accelerators",
            hint="leave ep out; use tp, pp or dp",
            key="topology.ep",
        )
    if shape.experts is not None and shape.experts < ep:
        raise UsageError(
            f"ep={ep}: {model} has {shape.experts} experts, fewer than ranks",
            hint="use a smaller ep",
            key="topology.ep",
        )
    if all_of is not None and ep != all_of:
        raise UsageError(
            f"ep={ep}: {says}, or over none",
            hint=f"use ep={all_of}, or leave ep out",
            key="topology.ep",
        )


def check_attention_dp(shape: Architecture, model: str, *, attention_dp: int) -> None:
    """Check that the model has experts: attention DP splits only them over all ranks.

    Raises:
        UsageError: there are none.
    """
    if attention_dp > 1 and is_dense(shape):
        raise UsageError(
            f"attention_dp={attention_dp}: {model} has no experts, so attention cannot be "
            "split differently from the other layers",
            hint=f"for independent ranks use dp={attention_dp}",
            key="topology.attention_dp",
        )


def all_local(request: EngineRequest, draft: str | None = None) -> bool:
    """Whether an engine has nothing to download. A draft that the user names may be a folder.

    Args:
        draft: what :func:`drafting_weights` returned.
    """
    needed: list[Weights | None] = [request.weights]
    if draft is not None and draft.startswith("{weights:"):
        needed.append(request.extra_weights[draft.removeprefix("{weights:").removesuffix("}")])
    elif draft is not None and not draft.startswith(("/", ".", "~")):
        return False
    return all(one is not None and not one.source.startswith("hub:") for one in needed)


def parser_name(request: EngineRequest, asked: str | None, kind: str, engine: str) -> str | None:
    """The name of a parser; for ``model``, the one that the model's spec names.

    Args:
        asked: what the user asks for.
        kind: ``tool`` or ``reasoning``.
        engine: its title in the message.

    Raises:
        UsageError: the model's spec names none.
    """
    if asked != "model":
        return asked
    found: str | None = getattr(request.parsers, kind, None)
    if found is None:
        raise UsageError(
            f"{request.model} names no {kind} parser of {engine}",
            hint=f"name it: {kind}_{'call_' if kind == 'tool' else ''}parser=NAME",
        )
    return found
