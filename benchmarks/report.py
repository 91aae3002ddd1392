"""Ratios, targets and tables from samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

import attrs
from sample import Sample  # noqa: TC002 - a module of this folder, not a third party

MIB = 1024 * 1024
FLOORS = ("c", "bare")

# Limits of the errors, by concurrency.
_ERROR_LIMITS: dict[int, dict[str, tuple[str, float, str]]] = {
    256: {
        "ttft_error_mean_ms": ("TTFT error, mean,", 0.2, "ms"),
        "ttft_error_p99_ms": ("TTFT error, p99,", 1.0, "ms"),
        "itl_error_p99_ms": ("ITL error, p99,", 1.0, "ms"),
        "tpot_error_mean": ("TPOT error, mean,", 0.001, ""),
    },
    1024: {
        "ttft_error_mean_ms": ("TTFT error, mean,", 0.5, "ms"),
        "ttft_error_p99_ms": ("TTFT error, p99,", 3.0, "ms"),
        "tpot_error_mean": ("TPOT error, mean,", 0.005, ""),
    },
}

# Requests per second, relative to the floors. The smallest Python protocol does nothing but read
# tokens; a client that schedules, checks and records may take nearly twice its time.
_ONE_TOKEN_RATE = 0.55


@attrs.frozen(kw_only=True)
class Target:
    """A limit and the measured value; `floor` is the value of the C client.

    `met` is None if nothing was measured, or if the floor misses the limit too: then the machine
    was too busy for a verdict.
    """

    name: str
    limit: str
    value: float | None
    floor: float | None
    met: bool | None


def ratios(samples: list[Sample]) -> dict[str, float]:
    """CPU per token: of ours relative to the floors, and of the peers relative to ours.

    Ours and the floors run in rotation, so each repetition gives a ratio; the median is returned. A
    peer runs less often and is compared with the median of ours.
    """
    found: dict[str, float] = {}
    for level in sorted({s.concurrency for s in samples}):
        ours = _select(samples, "ours", level)
        for one, other in (("ours", "c"), ("bare", "c"), ("ours", "bare")):
            both = (_select(samples, name, level) for name in (one, other))
            pairs = [a.us_per_token / b.us_per_token for a, b in zip(*both, strict=False)]
            if pairs:
                found[f"{one}/{other} at {level}"] = median(pairs)
        # The capacity of two workers follows from the CPU time per token of each of them.
        for split, where in (("half", "on a core each"), ("split", "sharing a core")):
            both = (_select(samples, name, level) for name in ("ours", split))
            pairs = [2 * a.us_per_token / b.us_per_token for a, b in zip(*both, strict=False)]
            if pairs:
                found[f"capacity of two workers {where}, relative to one, at {level}"] = median(
                    pairs
                )
        for name in sorted({s.client for s in samples} - {"ours", "split", "half", *FLOORS}):
            theirs = _select(samples, name, level)
            if theirs and ours:
                cost = median(s.us_per_token for s in theirs)
                found[f"{name}/ours at {level}"] = cost / median(s.us_per_token for s in ours)
    return found


def targets(samples: list[Sample], one_token: list[Sample]) -> list[Target]:
    """All targets with their values (medians over repetitions)."""
    ratio = ratios(samples)
    found = [
        _at_most(f"CPU per token, ours/c at {n}", ratio.get(f"ours/c at {n}"), 1.4, "x")
        for n in (64, 256)
    ]
    peer = ratio.get("aiperf/ours at 64")
    found.append(_at_least("CPU per token, aiperf/ours at 64", peer, 5, "x"))
    for level, limits in _ERROR_LIMITS.items():
        groups = _select(samples, "ours", level), _select(samples, "c", level)
        for error, (words, limit, unit) in limits.items():
            ours, floor = (_error(group, error) for group in groups)
            found.append(_at_most(f"{words} at {level}", ours, limit, unit, floor))
    rates = [_rate(one_token, name) for name in ("ours", "c")]
    found.append(_at_least("one-token requests per second", rates[0], 35e3, "", rates[1]))
    found.append(
        _at_least("the same, ours/bare", _rate_ratio(one_token, "bare"), _ONE_TOKEN_RATE, "x")
    )
    # At 1024 one worker fills its core.
    split = ratio.get("capacity of two workers sharing a core, relative to one, at 1024")
    found.append(_at_least("capacity of two workers, relative to one, at 1024", split, 1.8, "x"))
    memory = [s.rss_bytes / MIB for s in _select(samples, "ours", 1024)]
    found.append(_at_most("memory of a worker at 1024", max(memory, default=None), 150, "MiB"))
    arrow = [bool(s.more["imports_pyarrow"]) for s in samples if s.client == "ours"]
    found.append(_at_most("workers that import pyarrow", sum(arrow) if arrow else None, 0, ""))
    starts = [s.start_s for s in samples if s.client == "ours"]
    found.append(
        _at_most("start of a worker to first request", max(starts, default=None), 1.0, "s")
    )
    return found


def _at_most(
    name: str, value: float | None, limit: float, unit: str, floor: float | None = None
) -> Target:
    met = None if value is None else value <= limit
    met = None if met is False and floor is not None and floor > limit else met
    text = f"<= {limit:.5g} {unit}".strip()
    return Target(name=name, limit=text, value=value, floor=floor, met=met)


def _at_least(
    name: str, value: float | None, limit: float, unit: str, floor: float | None = None
) -> Target:
    met = None if value is None else value >= limit
    met = None if met is False and floor is not None and floor < limit else met
    text = f">= {limit:.5g} {unit}".strip()
    return Target(name=name, limit=text, value=value, floor=floor, met=met)


def _rate(samples: list[Sample], client: str) -> float | None:
    rates = _rates(samples, client)
    return median(rates) if rates else None


def _rate_ratio(samples: list[Sample], floor: str) -> float | None:
    """The rate of ours relative to that of a floor: median over repetitions."""
    both = (_rates(samples, name) for name in ("ours", floor))
    pairs = [ours / theirs for ours, theirs in zip(*both, strict=False)]
    return median(pairs) if pairs else None


def _rates(samples: list[Sample], client: str) -> list[float]:
    return [s.requests / s.wall_s for s in samples if s.client == client]


def _select(samples: list[Sample], client: str, level: int) -> list[Sample]:
    return [s for s in samples if s.client == client and s.concurrency == level]


def _error(samples: list[Sample], name: str) -> float | None:
    values = [s.errors[name] for s in samples if name in s.errors]
    return median(values) if values else None


_COLUMNS: dict[str, Callable[[Sample], float | None]] = {
    "us/token": lambda s: s.us_per_token,
    "ms/request": lambda s: s.cpu_s / s.requests * 1e3 if s.requests else None,
    "token/s": lambda s: s.tokens / s.wall_s,
    "request/s": lambda s: s.requests / s.wall_s,
    "TTFT err": lambda s: s.errors.get("ttft_error_mean_ms", s.errors.get("ttft_mean_off_ms")),
    "p99": lambda s: s.errors.get("ttft_error_p99_ms", s.errors.get("ttft_p99_off_ms")),
    "ITL err p99": lambda s: s.errors.get("itl_error_p99_ms", s.errors.get("itl_p99_off_ms")),
    "TPOT err %": lambda s: (
        100 * abs(s.errors.get("tpot_error_mean", s.errors.get("tpot_bias", 0)))
    ),
    "E2E err": lambda s: s.errors.get("e2e_error_mean_ms", s.errors.get("e2e_mean_off_ms")),
    "MiB": lambda s: s.rss_bytes / MIB,
    "start s": lambda s: s.start_s,
    "server late p99": lambda s: s.server.get("lateness_p99_ms"),
}


def table(samples: list[Sample]) -> str:
    """Medians over repetitions, one line per client and concurrency; errors in ms."""
    lines = [["concurrency", "client", "runs", *_COLUMNS]]
    for level, client in dict.fromkeys((s.concurrency, s.client) for s in samples):
        group = _select(samples, client, level)
        cells = [_median(column(s) for s in group) for column in _COLUMNS.values()]
        lines.append([str(level), client, str(len(group)), *cells])
    return _aligned(lines)


def target_table(found: list[Target]) -> str:
    """One line per target: limit, value, value of the floor, verdict."""
    rows = [[t.name, t.limit, _figure(t.value), _figure(t.floor), _verdict(t)] for t in found]
    return _aligned([["target", "limit", "value", "floor", ""], *rows])


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _verdict(target: Target) -> str:
    if target.met is not None:
        return "met" if target.met else "MISSED"
    return "not measured" if target.value is None else "no verdict: the floor misses it too"


def _median(values: Iterable[float | None]) -> str:
    known: list[Any] = [v for v in values if v is not None]
    if not known:
        return "-"
    value = float(median(known))
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _aligned(rows: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i < 2 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
