"""Speed of light: the maximum that the chips' memory bandwidth and FLOP/s allow.

Formulas and assumptions: docs/explanation/speed-of-light.md. Every estimate errs towards a faster
bound, except for the routing of experts, which is the mean of uniform routing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import attrs
import numpy as np

from tokenbench.api import Architecture, Sku

from .column import Bools, Column, Floats, Numbers, first_order, floats, measured

_FACTS = "the model's architecture is not known: no "


@attrs.frozen(kw_only=True)
class ServedModel:
    """A model as it is served. `bytes_per_weight`: of all weights, see `least_bytes_per_weight`."""

    architecture: Architecture
    bytes_per_weight: float

    def unknown(self) -> tuple[str, ...]:
        """Facts that a bound needs and that are not known."""
        shape = self.architecture
        needed = ["parameters", "vocabulary", "hidden"]
        sparse = shape.experts is not None or shape.active_parameters not in (
            None,
            shape.parameters,
        )
        if sparse:
            needed += ["active_parameters", "experts", "active_experts"]
        missing = [name for name in needed if getattr(shape, name) is None]
        return (*missing, *(["bytes_per_weight"] if math.isnan(self.bytes_per_weight) else []))

    def touched_weights(self, tokens: Floats) -> Floats:
        """Weights that a step of so many tokens reads.

        Without the table of input embeddings (vocabulary x hidden), of which a step reads a few
        rows. Of E experts of which a token takes k, a step of n tokens touches E * (1 - (1 -
        k/E)^n) on average, if tokens choose experts independently and uniformly.
        """
        shape = self.architecture
        total, active = shape.parameters or 0, shape.active_parameters or shape.parameters or 0
        table = (shape.vocabulary or 0) * (shape.hidden or 0)
        if not shape.experts or not shape.active_experts or shape.active_experts >= shape.experts:
            return np.full(len(tokens), float(total - table))
        share = shape.active_experts / shape.experts
        # Over all layers: total = rest + E * expert, active = rest + k * expert.
        experts = (total - active) / (1 - share)
        touched: Floats = (total - experts - table) + experts * (1 - (1 - share) ** tokens)
        return touched

    def flops_per_token(self) -> float:
        """At least: a multiplication and an addition for each active weight. Without attention over
        the context, and without embeddings and head, which a token of a prompt does not need.
        """
        shape = self.architecture
        active = shape.active_parameters or shape.parameters or 0
        return 2.0 * max(active - 2 * (shape.vocabulary or 0) * (shape.hidden or 0), 0)


def least_bytes_per_weight(precision: str) -> float:
    """Bytes of a weight without its scales, by the bits in the name of the precision: ``fp8``,
    ``nvfp4``, ``int4-awq``. NaN if the name has none.

    >>> least_bytes_per_weight("nvfp4"), least_bytes_per_weight("bf16")
    (0.5, 2.0)
    """
    bits = re.search(r"\d+", precision)
    return int(bits[0]) / 8 if bits else math.nan


def peak_flops(sku: Sku, precision: str) -> float:
    """Dense FLOP/s of the fastest data type that is not narrower than the weights; NaN if unknown.

    A chip that does not compute in the weights' type computes in a wider one.
    """
    width = least_bytes_per_weight(precision)
    wide = [
        flops for kind, flops in sku.dense_flops.items() if least_bytes_per_weight(kind) >= width
    ]
    return max(wide, default=math.nan)


@attrs.frozen(kw_only=True, eq=False)
class Placement:
    """Where each point runs. All entries are arrays of one number per point, NaN for unknown.

    Attributes:
        bandwidth_bytes_s, flops: of one accelerator.
        decode_accelerators: of all replicas; in an aggregated deployment all accelerators.
        replicas: copies of the model that decode, each on its share of these accelerators.
        prefill_accelerators: 0 in an aggregated deployment.
    """

    bandwidth_bytes_s: Floats = attrs.field(converter=floats)
    flops: Floats = attrs.field(converter=floats)
    decode_accelerators: Floats = attrs.field(converter=floats)
    replicas: Floats = attrs.field(converter=floats)
    prefill_accelerators: Floats = attrs.field(converter=floats)


@attrs.frozen(kw_only=True, eq=False)
class Traffic:
    """What each point serves. All entries are arrays of one number per point, NaN for unknown.

    Attributes:
        input_tokens: mean of a request, without cached tokens.
        cached_tokens: mean of a request, from the prefix cache.
        output_tokens: mean of a request.
        concurrency: requests in flight in the whole deployment.
        decoding: the mean number of them that decode (:func:`decoding_requests`).
        kv_bytes: that a decode step reads for one sequence of mean length: with sparse attention,
            less than is stored.
        tokens_per_step: output tokens of one sequence per decode step: 1, or 1 + the mean of
            accepted draft tokens.
        assumed: whether `tokens_per_step` is the assumed maximum (:func:`tokens_per_step`).
    """

    input_tokens: Floats = attrs.field(converter=floats)
    output_tokens: Floats = attrs.field(converter=floats)
    concurrency: Floats = attrs.field(converter=floats)
    decoding: Floats = attrs.field(converter=floats)
    kv_bytes: Floats = attrs.field(converter=floats)
    tokens_per_step: Floats = attrs.field(converter=floats, default=1.0)
    cached_tokens: Floats = attrs.field(converter=floats, default=0.0)
    assumed: Bools | None = None


@attrs.frozen(kw_only=True, eq=False)
class Bounds:
    """Bounds of each point: the least TPOT and the most total throughput.

    `assumed`: the points whose tokens per decode step are not known; the bound holds for up to the
    number in `tokens_per_step`.
    """

    tpot_s: Column
    total_tok_s_per_accelerator: Column
    tokens_per_step: Floats
    assumed: Bools

    def tpot_share(self, tpot_s: Numbers) -> Column:
        """Share of the speed of light that a measured TPOT reaches: bound / measured."""
        found = measured(tpot_s, "s")
        bound = self.tpot_s.values
        with np.errstate(divide="ignore", invalid="ignore"):
            share = bound / found.values
            inputs = [(self.tpot_s, 1 / found.values), (found, -share / found.values)]
            return first_order("share", share, inputs, undefined="the measured TPOT is 0")

    def throughput_share(self, total_tok_s_per_accelerator: Numbers) -> Column:
        """Share of the speed of light that a measured throughput reaches: measured / bound."""
        found = measured(total_tok_s_per_accelerator, "tok/s/accelerator")
        bound = self.total_tok_s_per_accelerator.values
        with np.errstate(divide="ignore", invalid="ignore"):
            share = found.values / bound
            inputs = [
                (self.total_tok_s_per_accelerator, -share / bound),
                (found, 1 / bound),
            ]
            return first_order("share", share, inputs, undefined="the bound is 0")


def bounds(model: ServedModel, placement: Placement, traffic: Traffic) -> Bounds:
    """The bounds of points that serve one model."""
    values = np.broadcast_arrays(
        *(getattr(placement, f.name) for f in attrs.fields(Placement)),
        *(getattr(traffic, f.name) for f in attrs.fields(Traffic) if f.name != "assumed"),
    )
    names = [f.name for f in (*attrs.fields(Placement), *attrs.fields(Traffic))]
    at = dict(zip(names, values, strict=False))
    missing = model.unknown()
    if missing:
        hint: tuple[str | None, ...] = (_FACTS + ", ".join(missing),) * len(values[0])
        tpot = throughput = np.full(len(values[0]), math.nan)
    else:
        tpot, throughput = _tpot_s(model, at), _throughput(model, at)
        hint = ()
    assumed = traffic.assumed
    return Bounds(
        tpot_s=_bound("s", tpot, hint or _missing(at, tpot)),
        total_tok_s_per_accelerator=_bound(
            "tok/s/accelerator", throughput, hint or _missing(at, throughput)
        ),
        tokens_per_step=at["tokens_per_step"],
        assumed=np.zeros(len(tpot), np.bool_) if assumed is None else assumed,
    )


def _tpot_s(model: ServedModel, at: dict[str, Floats]) -> Floats:
    per_replica = at["decode_accelerators"] / at["replicas"]
    step_bytes = _step_bytes(model, at, at["decoding"] / at["replicas"])
    with np.errstate(divide="ignore", invalid="ignore"):
        tpot = step_bytes / (per_replica * at["bandwidth_bytes_s"]) / at["tokens_per_step"]
    return np.where(np.isfinite(tpot), tpot, math.nan)


def _step_bytes(model: ServedModel, at: dict[str, Floats], sequences: Floats) -> Floats:
    """Bytes that a decode step of one replica reads: the touched weights once, each sequence's
    cache once. A step has at least one sequence.
    """
    sequences = np.maximum(sequences, 1.0)
    weights = model.touched_weights(sequences * at["tokens_per_step"]) * model.bytes_per_weight
    found: Floats = weights + sequences * at["kv_bytes"]
    return found


def _throughput(model: ServedModel, at: dict[str, Floats]) -> Floats:
    """Total tokens per second and accelerator, including cached tokens."""
    sequences = np.maximum(at["concurrency"] / at["replicas"], 1.0)
    flops = model.flops_per_token() / at["flops"]
    # Accelerator seconds per request.
    prefill = at["input_tokens"] * flops
    decode = at["output_tokens"] * flops
    steps = at["output_tokens"] / at["tokens_per_step"]
    reading = _step_bytes(model, at, sequences) / sequences * steps / at["bandwidth_bytes_s"]
    prefillers, decoders = at["prefill_accelerators"], at["decode_accelerators"]
    with np.errstate(divide="ignore", invalid="ignore"):
        together = decoders / np.maximum(prefill + decode, reading)
        apart = np.minimum(prefillers / prefill, decoders / np.maximum(decode, reading))
        requests = np.where(prefillers == 0, together, apart)
        tokens = at["input_tokens"] + at["cached_tokens"] + at["output_tokens"]
        found: Floats = requests * tokens / (prefillers + decoders)
    return np.where(np.isfinite(found), found, math.nan)


def _bound(unit: str, values: Floats, hints: tuple[str | None, ...]) -> Column:
    return Column(unit=unit, values=values, half_widths=values * 0.0, hints=hints)


def _missing(at: dict[str, Floats], values: Floats) -> tuple[str | None, ...]:
    """The unknown facts of each point without a bound."""
    unknown = np.isnan(values)
    return tuple(
        f"not known of this point: {', '.join(k for k, v in at.items() if math.isnan(v[index]))}"
        if unknown[index]
        else None
        for index in range(len(values))
    )


def decoding_requests(concurrency: Numbers, ttft_s: Numbers, e2e_s: Numbers) -> Floats:
    """Mean number of requests that decode: concurrency * (1 - TTFT / E2E latency).

    The others wait for their first token. NaN where one of them is not known.

    >>> decoding_requests(8, 1.0, 4.0).tolist()
    [6.0]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = floats(concurrency) * (1 - floats(ttft_s) / floats(e2e_s))
    return np.where(np.isfinite(found), found, math.nan)


def tokens_per_step(
    speculates: Sequence[bool], accepted_drafts: Numbers, most_drafts: Numbers
) -> tuple[Floats, Bools]:
    """Output tokens per sequence and decode step, and where they are the assumed maximum.

    Args:
        accepted_drafts: measured mean of accepted draft tokens per step; None where not reported.
        most_drafts: draft tokens per step, the maximum that can be accepted.

    >>> found, assumed = tokens_per_step([False, True, True], [None, 1.6, None], 3)
    >>> found.tolist(), assumed.tolist()
    ([1.0, 2.6, 4.0], [False, False, True])
    """
    drafts = np.asarray(speculates, dtype=np.bool_)
    accepted = floats(accepted_drafts)
    assumed: Bools = drafts & np.isnan(accepted)
    found: Floats = 1 + np.where(drafts, np.where(assumed, floats(most_drafts), accepted), 0.0)
    return found, assumed
