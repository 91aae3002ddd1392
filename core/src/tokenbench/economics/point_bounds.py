"""The speed of light of the points of a report, and the share of it that each reached.

Facts of the point are used; for a missing fact, the bound assumes the fastest case, or there is no
bound. Assumptions: docs/explanation/speed-of-light.md.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Sequence

import numpy as np

from tokenbench.api import (
    DECODE,
    PREFILL,
    Architecture,
    DerivedColumn,
    FrozenMap,
    PointResult,
    Sku,
    kv_cache_bytes,
)

from .column import Column, Floats, from_estimates, measured
from .definitions import ASSUMED, SPEED, SPEED_OF_LIGHT, THROUGHPUT, TPOT, WINDOWS
from .layouts import decoding_replicas
from .speed_of_light import (
    Bounds,
    Placement,
    ServedModel,
    Traffic,
    bounds,
    decoding_requests,
    least_bytes_per_weight,
    peak_flops,
    tokens_per_step,
)

MOST_DRAFTS = FrozenMap({"mtp": 3})
"""Draft tokens per step by method, assumed if a result has no acceptance: the maximum in the
DeepSeek-R1 recipes of InferenceX (``...mtp3.yaml``, 2026-06). No number is known for other methods.
"""
CACHE_BYTES = 1.0
"""Bytes of a number in the KV cache: fp8. Results do not state the cache's data type."""


def speed_of_light(
    results: Sequence[PointResult],
    skus: Sequence[Sku | None],
    models: Sequence[Architecture | None],
) -> tuple[DerivedColumn, ...]:
    """The columns of `SPEED_OF_LIGHT`. A point of unknown hardware, model or speculation has no
    bound; the hint names what is unknown.
    """
    groups: dict[tuple[Architecture | None, str | None], list[int]] = collections.defaultdict(list)
    for index, (result, model) in enumerate(zip(results, models, strict=True)):
        groups[model, result.precision].append(index)
    cells: dict[str, list[tuple[float | None, float | None, str | None]]] = {
        definition.name: [(None, None, None)] * len(results) for definition in SPEED_OF_LIGHT
    }
    for (model, precision), indices in groups.items():
        points, chips = [results[i] for i in indices], [skus[i] for i in indices]
        for name, column in _columns(points, chips, model, precision).items():
            rows = zip(column.listed(), column.listed_half_widths(), column.hints, strict=True)
            for index, row in zip(indices, rows, strict=True):
                cells[name][index] = row
    return tuple(
        DerivedColumn(
            name=name,
            values=tuple(value for value, _, _ in rows),
            half_widths=tuple(half for _, half, _ in rows),
            hints=tuple(hint for _, _, hint in rows),
        )
        for name, rows in cells.items()
    )


def _columns(
    points: Sequence[PointResult],
    chips: Sequence[Sku | None],
    model: Architecture | None,
    precision: str | None,
) -> dict[str, Column]:
    """The columns for points that serve one model in one precision."""
    served = ServedModel(
        architecture=model or Architecture(),
        bytes_per_weight=least_bytes_per_weight(precision or ""),
    )
    found = bounds(served, _placement(points, chips, precision), _traffic(points, model))
    assumed = np.where(
        found.assumed & ~np.isnan(found.tpot_s.values), found.tokens_per_step, math.nan
    )
    return {
        TPOT: found.tpot_share(_measured(points, "tpot_s.p50", "s")),
        **{f"{THROUGHPUT}.{window}": _share(found, points, window) for window in WINDOWS},
        "tpot_bound_s": found.tpot_s,
        f"{SPEED}_bound": found.total_tok_s_per_accelerator,
        ASSUMED: measured(assumed, "tok", 0.0),
    }


def _share(found: Bounds, points: Sequence[PointResult], window: str) -> Column:
    return found.throughput_share(_measured(points, f"{SPEED}.{window}", "tok/s/accelerator"))


def _measured(points: Sequence[PointResult], name: str, unit: str) -> Column:
    return from_estimates((point.metrics.get(name) for point in points), unit)


def _placement(
    points: Sequence[PointResult], chips: Sequence[Sku | None], precision: str | None
) -> Placement:
    roles = [point.roles or FrozenMap[int]() for point in points]
    return Placement(
        bandwidth_bytes_s=[chip.memory_bandwidth_bytes_s if chip else None for chip in chips],
        flops=[peak_flops(chip, precision or "") if chip else None for chip in chips],
        decode_accelerators=[
            role.get(DECODE, point.accelerators) for role, point in zip(roles, points, strict=True)
        ],
        replicas=[decoding_replicas(point) for point in points],
        prefill_accelerators=[role.get(PREFILL, 0) for role in roles],
    )


def _traffic(points: Sequence[PointResult], model: Architecture | None) -> Traffic:
    tokens_in, tokens_out = (
        np.array([_tokens(point, side) for point in points]) for side in ("input", "output")
    )
    cached = np.array([_cached_share(point) for point in points])
    concurrency = np.array([_in_flight(point) for point in points])
    steps, assumed = _steps(points)
    lengths = tokens_in + tokens_out / 2
    return Traffic(
        input_tokens=tokens_in * (1 - cached),
        cached_tokens=tokens_in * cached,
        output_tokens=tokens_out,
        concurrency=concurrency,
        decoding=decoding_requests(
            concurrency,
            [_time(point, "ttft_s") for point in points],
            [_time(point, "e2e_s") for point in points],
        ),
        kv_bytes=[_cache_bytes(model, length) for length in lengths.tolist()],
        tokens_per_step=steps,
        assumed=assumed,
    )


def _cached_share(point: PointResult) -> float:
    """Share of the prompts' tokens that were in the prefix cache: by the engine's counters, or by
    the responses. Otherwise at most what the prompts share, and all if that is not known either.
    """
    names = ("cached_prompt_share.server", "cached_input_share", "theoretical_hit_share")
    known = (share for name in names if (share := point.mean(name)) is not None)
    return next(known, 1.0)


def _steps(points: Sequence[PointResult]) -> tuple[Floats, np.typing.NDArray[np.bool_]]:
    """Tokens of a sequence per decode step; NaN where it is not known whether, or with how many
    draft tokens, a model speculates.
    """
    lengths = [point.mean("acceptance_length.server") for point in points]
    return tokens_per_step(
        [
            length is not None or point.speculation != "none"
            for length, point in zip(lengths, points, strict=True)
        ],
        [None if length is None else max(length - 1, 0.0) for length in lengths],
        [MOST_DRAFTS.get(point.speculation or "") for point in points],
    )


def _cache_bytes(model: Architecture | None, tokens: float) -> float:
    """Bytes of one sequence's cache that a decode step reads; NaN if unknown. 0 for sparse
    attention, which reads an unknown part.
    """
    if model is None or math.isnan(tokens):
        return math.nan
    if model.index_dim is not None:
        return 0.0
    found = kv_cache_bytes(model, int(tokens), bytes_per_value=CACHE_BYTES)
    return math.nan if found is None else found


def _tokens(point: PointResult, side: str) -> float:
    """Mean tokens of a request: as measured, else by the options of the workload, whose lengths are
    uniform from `range` times the nominal length to all of it; NaN if unknown.
    """
    rate, requests = point.mean(f"{side}_tok_s.whole"), point.mean("req_s.whole")
    if rate is not None and requests:
        return rate / requests
    nominal = _number(point, f"{side}_tokens")
    lowest = _number(point, f"{side}_range")
    return nominal * (1 + (1.0 if math.isnan(lowest) else lowest)) / 2


def _in_flight(point: PointResult) -> float:
    """Requests in flight: the concurrency, or by Little's law where requests arrive at a rate."""
    if point.level.concurrency is not None:
        return float(point.level.concurrency)
    requests, latency = point.mean("req_s.whole"), point.mean("e2e_s.mean")
    return math.nan if requests is None or latency is None else requests * latency


def _time(point: PointResult, name: str) -> float | None:
    """The mean of both times, because their ratio is one of means; else the median of both."""
    both = all(point.mean(f"{each}.mean") is not None for each in ("ttft_s", "e2e_s"))
    return point.mean(f"{name}.{'mean' if both else 'p50'}")


def _number(point: PointResult, name: str) -> float:
    value = point.workload_options.get(name)
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known and value is not None else math.nan
