"""From samples to ratios, targets and a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

import attrs
from sample import Sample  # noqa: TC002 - a module of this folder, not a third party

MIB = 1024 * 1024
FLOORS = ("c", "bare")

# Issue 4, "What it must show", 2: errors against the truth by number of streams.
_EXACT: dict[int, dict[str, tuple[str, float, str]]] = {
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

# The same, 4: 35,000 one-token requests per second on a machine where the floors do 141,000 (C) and
# 44,000 (bare); "ratios decide; absolute figures are for a machine like the table's".
_ONE_TOKEN = {"c": 35 / 141, "bare": 35 / 44}


@attrs.frozen(kw_only=True)
class Target:
    """What is asked for and what was found; `floor` is what the C client came to beside it.

    `met` is None where it was not measured, and where the floor itself fails as well: then the
    machine was too busy to tell.
    """

    name: str
    asked: str
    found: float | None
    floor: float | None
    met: bool | None


def ratios(samples: list[Sample]) -> dict[str, float]:
    """CPU per token against the floors and of the peers against ours.

    Ours and the floors alternate: each repetition gives a ratio, the median is taken. A peer runs
    less often and is set against the median of ours.
    """
    found: dict[str, float] = {}
    for streams in sorted({s.streams for s in samples}):
        ours = _at(samples, "ours", streams)
        for one, other in (("ours", "c"), ("bare", "c"), ("ours", "bare")):
            both = (_at(samples, name, streams) for name in (one, other))
            pairs = [a.us_per_token / b.us_per_token for a, b in zip(*both, strict=False)]
            if pairs:
                found[f"{one}/{other} at {streams}"] = median(pairs)
        # What a token costs each of two workers, against one, says how many more they can do.
        for split, where in (("half", "on a core each"), ("split", "sharing the core")):
            both = (_at(samples, name, streams) for name in ("ours", split))
            pairs = [2 * a.us_per_token / b.us_per_token for a, b in zip(*both, strict=False)]
            if pairs:
                found[f"streams of two workers {where}, over one, at {streams}"] = median(pairs)
        for name in sorted({s.client for s in samples} - {"ours", "split", "half", *FLOORS}):
            theirs = _at(samples, name, streams)
            if theirs and ours:
                cost = median(s.us_per_token for s in theirs)
                found[f"{name}/ours at {streams}"] = cost / median(s.us_per_token for s in ours)
    return found


def targets(samples: list[Sample], one_token: list[Sample]) -> list[Target]:
    """The figures that issue 4 asks for, beside what was found (medians over repetitions)."""
    ratio = ratios(samples)
    made = [
        _most(f"CPU per token, ours/c at {n} streams", ratio.get(f"ours/c at {n}"), 1.6, "x")
        for n in (64, 256)
    ]
    made.append(_least("CPU per token, aiperf/ours at 64", ratio.get("aiperf/ours at 64"), 5, "x"))
    for streams, limits in _EXACT.items():
        groups = _at(samples, "ours", streams), _at(samples, "c", streams)
        for error, (words, limit, unit) in limits.items():
            ours, floor = (_error(group, error) for group in groups)
            made.append(_most(f"{words} at {streams} streams", ours, limit, unit, floor))
    rates = [_rate(one_token, name) for name in ("ours", "c")]
    made.append(_least("one-token requests per second", rates[0], 35e3, "", rates[1]))
    made += [
        _least(f"the same, ours over {name}", _over(one_token, name), asked, "x")
        for name, asked in _ONE_TOKEN.items()
    ]
    # Where the core is full, which is where a second one is wanted.
    split = ratio.get("streams of two workers sharing the core, over one, at 1024")
    made.append(_least("streams of two workers, over one, at 1024", split, 1.8, "x"))
    big = [s.rss_bytes / MIB for s in _at(samples, "ours", 1024)]
    made.append(_most("worker's memory at 1024 streams", max(big) if big else None, 150, "MiB"))
    arrow = [bool(s.more["imports_pyarrow"]) for s in samples if s.client == "ours"]
    made.append(_most("workers that import pyarrow", sum(arrow) if arrow else None, 0, ""))
    starts = [s.start_s for s in samples if s.client == "ours"]
    made.append(_most("worker's start to its first request", max(starts, default=None), 1.0, "s"))
    return made


def _most(
    name: str, found: float | None, limit: float, unit: str, floor: float | None = None
) -> Target:
    met = None if found is None else found <= limit
    met = None if met is False and floor is not None and floor > limit else met
    asked = f"<= {limit:.5g} {unit}".strip()
    return Target(name=name, asked=asked, found=found, floor=floor, met=met)


def _least(
    name: str, found: float | None, limit: float, unit: str, floor: float | None = None
) -> Target:
    met = None if found is None else found >= limit
    met = None if met is False and floor is not None and floor < limit else met
    asked = f">= {limit:.5g} {unit}".strip()
    return Target(name=name, asked=asked, found=found, floor=floor, met=met)


def _rate(samples: list[Sample], client: str) -> float | None:
    rates = _rates(samples, client)
    return median(rates) if rates else None


def _over(samples: list[Sample], floor: str) -> float | None:
    """The rate of ours by that of a floor, run by run; their median."""
    both = (_rates(samples, name) for name in ("ours", floor))
    pairs = [ours / theirs for ours, theirs in zip(*both, strict=False)]
    return median(pairs) if pairs else None


def _rates(samples: list[Sample], client: str) -> list[float]:
    return [s.requests / s.wall_s for s in samples if s.client == client]


def _at(samples: list[Sample], client: str, streams: int) -> list[Sample]:
    return [s for s in samples if s.client == client and s.streams == streams]


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
    """Medians over repetitions, one line a client and number of streams; errors in ms."""
    head = ["streams", "client", "runs", *_COLUMNS]
    lines = [head]
    for streams, client in dict.fromkeys((s.streams, s.client) for s in samples):
        group = _at(samples, client, streams)
        cells = [_middle(column(s) for s in group) for column in _COLUMNS.values()]
        lines.append([str(streams), client, str(len(group)), *cells])
    return _aligned(lines)


def target_table(found: list[Target]) -> str:
    """Asked, found, the floor's own, met."""
    rows = [[t.name, t.asked, _figure(t.found), _figure(t.floor), _verdict(t)] for t in found]
    return _aligned([["target", "asked", "found", "floor", ""], *rows])


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _verdict(target: Target) -> str:
    if target.met is not None:
        return "met" if target.met else "MISSED"
    return "not measured" if target.found is None else "cannot tell: the floor fails too"


def _middle(values: Iterable[float | None]) -> str:
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
