"""Plans that cannot work, by the facts of a model and of a chip: whether it fits, how it can be
split, what can draft for it. For engine plugins; each error has the arithmetic.
"""

from __future__ import annotations

import math

from .architecture import Architecture, kv_cache_bytes
from .engine import EngineRequest
from .errors import UsageError
from .model import Weights, weight_bytes
from .topology import SERVER, Layout

_GIB = 1 << 30
# Precisions of weights that are meant for fp4 arithmetic. mxfp4 weights (gpt-oss) are served on
# chips without it as a rule.
_FP4 = ("fp4", "nvfp4")
_BYTES_PER_VALUE = (("fp8", 1.0), ("nvfp4", 0.5), ("fp4", 0.5), ("float32", 4.0))
# Purposes of the weights that a method of speculation drafts with.
_PURPOSES = {"draft": ("draft",), "eagle": ("eagle",), "eagle3": ("eagle",), "mtp": ("mtp",)}


def is_dense(shape: Architecture) -> bool:
    """Whether the model has no experts: a known shape leaves out what is not there."""
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
            f"a context of {asked} tokens is asked for, and a prompt with its answer has up to "
            f"{least}",
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


def check_precision(request: EngineRequest, *, hint: str) -> None:
    """Check that the chip computes in the precision of fp4 weights, as far as both are known.

    Args:
        hint: what else than other weights the engine's user can do.

    Raises:
        UsageError: it does not.
    """
    chip, weights = request.hardware.chip, request.weights
    if chip is None or weights is None or not chip.precisions:
        return
    if weights.precision in _FP4 and not set(_FP4) & set(chip.precisions):
        raise UsageError(
            f"{request.model} has {weights.precision} weights, and {chip.name} does not compute in "
            f"fp4 (it has {', '.join(chip.precisions)})",
            hint=f"use weights of another precision (--weights), or {hint}",
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
    """Check that weights and the cache of one sequence fit. A lower bound: what several ranks hold
    alike is counted once, except for the whole weights of a dense model. Activations and graphs are
    not counted.

    Args:
        ranks: all ranks of one replica, an accelerator each.
        replicated: how many groups of them hold all weights each if the model is dense: its
            data-parallel ranks. The experts of other models are split over all ranks.
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
    )


def _gib(size: float) -> str:
    return f"{size / _GIB:,.1f} GiB"


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
                hint="leave the engine of the pool out, or use one that runs workers of others",
            )
    if layout.disaggregated and layout.of_role(SERVER):
        raise UsageError(
            f"the pool {layout.of_role(SERVER)[0].key!r} is a server beside pools for prefill and "
            f"decode: the router of {engine} sends every request through both of these",
            hint="leave it out, or give it the role prefill or decode and a name",
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
        )
    # Multi-head latent attention has one vector instead of KV heads.
    kv_heads = None if shape.latent_dim is not None else shape.kv_heads
    if kv_heads is not None and (kv_heads % tp if kv_heads >= tp else tp % kv_heads):
        raise UsageError(
            f"tp={tp}: the {kv_heads} KV heads of {model} cannot be divided by it",
            hint="use a tp that divides them, or that is a multiple of them",
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
        )


def check_experts(shape: Architecture, model: str, *, ep: int) -> None:
    """Check that there are experts to spread over `ep` ranks.

    Raises:
        UsageError: there are none, or fewer than ranks.
    """
    if is_dense(shape):
        raise UsageError(
            f"ep={ep}: {model} has no experts that could be spread over accelerators",
            hint="leave ep out; use tp, pp or dp",
        )
    if shape.experts is not None and shape.experts < ep:
        raise UsageError(
            f"ep={ep}: {model} has {shape.experts} experts, fewer than ranks",
            hint="use a smaller ep",
        )


def drafting_weights(request: EngineRequest, method: str, named: str | None = None) -> str | None:
    """The weights that draft: a symbol for those of the model, or the user's folder or hub name.
    None where the method needs none, as n-gram, or has them in the main weights, as MTP.

    Args:
        method: ``ngram``, ``draft``, ``eagle``, ``eagle3`` or ``mtp``.
        named: what the user asks for: a name among the model's extra weights, a folder, a hub name.

    Raises:
        UsageError: the method needs weights that neither the user nor the model names, or the model
            has no MTP heads.
    """
    purposes = _PURPOSES.get(method, ())
    if named is not None and not purposes:
        raise UsageError(
            f"speculative_model={named}: speculation={method} drafts without weights of its own, "
            "so nothing would use it",
            hint="leave speculative_model out, or use draft, eagle3 or another method",
        )
    if named is not None and (named in request.extra_weights or "/" not in named):
        request.weights_named(named, *purposes)
        return f"{{weights:{named}}}"
    if named is not None:
        return named
    found = [name for name, one in request.extra_weights.items() if one.purpose in purposes]
    if len(found) == 1:
        return f"{{weights:{found[0]}}}"
    if method == "mtp":
        _check_mtp(request)
    elif purposes:
        raise UsageError(
            f"speculation={method} needs weights that draft: {request.model} has "
            f"{'several' if found else 'none'}",
            hint=f"name them: speculative_model={' or '.join(found) or 'FOLDER or ORG/NAME'}",
        )
    return None


def _check_mtp(request: EngineRequest) -> None:
    shape = request.architecture
    if shape.layers is not None and not shape.mtp_heads:
        raise UsageError(
            f"speculation=mtp: the facts of {request.model} name no MTP heads",
            hint="use another method (ngram, draft, eagle, eagle3), or name the weights that have "
            "them: speculative_model=FOLDER",
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
    """The name of a parser; that of the model's facts for ``model``.

    Args:
        asked: what the user asks for.
        kind: ``tool`` or ``reasoning``.
        engine: its title in the message.

    Raises:
        UsageError: the model's facts name none.
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
