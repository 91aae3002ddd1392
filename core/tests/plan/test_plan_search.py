"""The search for the largest load: against servers whose limit is known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenbench.api import (
    Estimate,
    FrozenMap,
    LoadLevel,
    Measurement,
    PointResult,
    PointState,
    UsageError,
)
from tokenbench.plan.load import resolve_load
from tokenbench.plan.search import Bisection
from tokenbench.suite.places import Places
from tokenbench.suite.schema import FindRequest, LoadRequest
from tokenbench.suite.slo import parse_objectives

GOALS = parse_objectives("ttft_p99<200ms", where="here")


def _levels(load: LoadRequest) -> Any:
    return resolve_load(load, Places()).levels


def _result(level: LoadLevel, ttft_s: float | None, **changes: Any) -> PointResult:
    metrics = {"ttft_s.p99": Estimate(mean=ttft_s, half_width=None, values=(ttft_s,))}
    facts: dict[str, Any] = {
        **dict.fromkeys(("point", "run", "deployment", "engine", "model", "hardware"), "x"),
        "layout": "tp1",
        "workload": "w",
        "workload_options": FrozenMap(),
        "level": level,
        "engine_version": None,
        "precision": None,
        "accelerators": 1,
        "repeats": 1,
        "state": PointState.DONE,
        "measurement": Measurement.CERTIFIED,
        "checks": (),
        "metrics": FrozenMap(metrics),
    }
    return PointResult(**{**facts, **changes})


def _search(search: Bisection, limit: float) -> tuple[float | None, int]:
    """Drive it against a server that holds up to `limit`; what was found, in how many steps."""
    history: list[PointResult] = []
    while (level := search.next(history)) is not None:
        load = level.concurrency or level.rate_per_s
        assert load is not None
        history.append(_result(level, 0.1 if load <= limit else 0.5))
        assert len(history) <= 40
    return search.found(history), len(history)


@given(limit=st.floats(0.02, 5000))
def test_the_largest_rate_is_found(limit: float) -> None:
    """To within the tolerance below the limit, in steps that grow with its logarithm."""
    like = LoadLevel(rate_per_s=1.0, arrival="poisson")
    search = Bisection(like=like, objectives=GOALS, lowest=1.0, tolerance=0.05)
    found, steps = _search(search, limit)
    assert found is not None
    assert limit / 1.052 <= found <= limit * 1.001
    assert steps <= 2 * abs(math.log2(limit)) + 12


@given(limit=st.integers(1, 3000))
def test_the_largest_concurrency_is_found(limit: int) -> None:
    """Exactly where one more is more than the tolerance; whole numbers only."""
    search = Bisection(like=LoadLevel(concurrency=1), objectives=GOALS, lowest=1.0, tolerance=0.02)
    found, _ = _search(search, limit)
    assert found is not None
    assert limit / 1.021 - 1 <= found <= limit


def test_a_search_that_always_fails_or_always_passes() -> None:
    """Nothing found, in a few steps; or the highest that was allowed."""
    like = LoadLevel(rate_per_s=1.0, arrival="poisson")
    assert _search(Bisection(like=like, objectives=GOALS, lowest=1.0), 0.0) == (None, 7)
    high = Bisection(like=like, objectives=GOALS, lowest=1.0, highest=24.0)
    assert _search(high, 1e9)[0] == 24.0


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (_result(LoadLevel(concurrency=1), 0.3), "ttft_p99<200ms: 300 ms"),
        (_result(LoadLevel(concurrency=1), None), "ttft_p99<200ms: not measured"),
        (
            _result(LoadLevel(concurrency=1), 0.1, state=PointState.STALLED, error="no token"),
            "stalled: no token",
        ),
        (
            _result(LoadLevel(concurrency=1), 0.1, measurement=Measurement.INVALID),
            "the measurement is invalid",
        ),
    ],
)
def test_why_a_load_fails(result: PointResult, why: str) -> None:
    """Each reason in words."""
    trial = Bisection(like=result.level, objectives=GOALS, lowest=1.0).trial(result)
    assert (trial.passed, trial.why) == (False, why)


def test_objectives_are_read() -> None:
    """Metric, percentile (p99 where none is named), limit with its unit."""
    found = parse_objectives("ttft_p99<200ms, tpot < 0.03s,e2e_mean<=5s", where="--slo")
    assert [(g.name, g.limit_s) for g in found] == [
        ("ttft_s.p99", 0.2),
        ("tpot_s.p99", 0.03),
        ("e2e_s.mean", 5.0),
    ]


@pytest.mark.parametrize(
    "text",
    ["", "ttft", "ttft<200", "speed<2s", "ttft_p98<1s", "ttft<1s,ttft_p50<1s", "ttft<1.1.1s"],
)
def test_objectives_that_are_none(text: str) -> None:
    """Each with what it should look like."""
    with pytest.raises(UsageError, match="--slo"):
        parse_objectives(text, where="--slo")


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (LoadRequest(find=FindRequest(what="max-rate")), "needs objectives"),
        (LoadRequest(find=FindRequest(what="max-rate"), slo="ttft<1s", rate=(1.0,)), "no rate"),
        (LoadRequest(arrival="replay", rate=(1.0,)), "needs a trace"),
        (LoadRequest(burstiness=0.5, rate=(1.0,)), "load.burstiness: it is the shape"),
        (LoadRequest(slo=""), "load.slo: no objective"),
        (LoadRequest(concurrency=()), "no load level"),
    ],
)
def test_loads_that_contradict_themselves(load: LoadRequest, said: str) -> None:
    """Refused while planning."""
    with pytest.raises(UsageError, match=said):
        _levels(load)


def test_levels_of_a_fixed_load() -> None:
    """Closed loops, then open ones; one request at a time where nothing was asked."""
    assert [level.label for level in _levels(LoadRequest()).known()] == ["c1"]
    both = LoadRequest(concurrency=(1, 2), rate=(3.0,))
    assert [level.label for level in _levels(both).known()] == ["c1", "c2", "r3"]
    assert [level.label for level in _levels(LoadRequest(rate=(3.0,))).known()] == ["r3"]


@pytest.mark.parametrize("highest", [10.3, 2.5, 10.7, 1.0])
def test_no_load_is_tried_twice(highest: float) -> None:
    """Where rounding leads back to a load whose answer is known, the search is over."""
    search = Bisection(like=LoadLevel(concurrency=1), objectives=GOALS, lowest=1.0, highest=highest)
    history: list[PointResult] = []
    while (level := search.next(history)) is not None:
        history.append(_result(level, 0.1))
    loads = [result.level.concurrency for result in history]
    assert len(loads) == len(set(loads))
    assert search.found(history) == int(highest)


def test_a_level_asked_for_twice_is_refused() -> None:
    """Two points of one identity would overwrite each other's records."""
    with pytest.raises(UsageError, match="c1 is given twice"):
        _levels(LoadRequest(concurrency=(1, 1)))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_are_finite(value: float) -> None:
    """Not a number, and too many to count."""
    with pytest.raises(ValueError, match="finite"):
        LoadRequest(rate=(value,))
    with pytest.raises(ValueError, match="finite"):
        FindRequest(what="max-rate", highest=value)


@pytest.mark.parametrize(
    ("load", "said"),
    [
        (LoadRequest(rate=(1e5,), duration_s=100.0), "load.rate: 100000 a second for 100 s"),
        (LoadRequest(rate=(0.01,), requests=100_000), "take 10,000,000 s, more than 604,800"),
        (
            LoadRequest(concurrency=(64_512,), warmup_per_concurrency=100),
            "load.warmup_per_concurrency: 100 times",
        ),
        (
            LoadRequest(concurrency=(64_512,), requests_per_concurrency=100),
            "load.requests_per_concurrency: 100",
        ),
        (
            LoadRequest(rate=(1.0,), server_concurrency=64_512, min_requests_per_concurrency=100),
            "load.min_requests_per_concurrency",
        ),
        (
            LoadRequest(
                find=FindRequest(what="max-rate", highest=1e5), slo="ttft<1s", duration_s=100.0
            ),
            "load.rate: 100000 a second",
        ),
    ],
)
def test_products_that_cannot_be_meant(load: LoadRequest, said: str) -> None:
    """Each key for itself would do; what they come to would fill a disk, or last for years."""
    with pytest.raises(UsageError) as caught:
        _levels(load)
    assert said in caught.value.message


def test_a_large_load_is_planned() -> None:
    """Limits are beyond what is measured: a thousand streams for an hour, a soak test of days."""
    _levels(LoadRequest(concurrency=(1024,), duration_s=3600.0, requests_per_concurrency=1000))
    _levels(LoadRequest(rate=(10.0,), duration_s=5 * 24 * 3600.0))
    _levels(LoadRequest(rate=(1000.0,), duration_s=3600.0))


def test_a_search_without_an_end_ends_at_a_limit() -> None:
    """Doubling must not come to a schedule that is refused in the middle of a run."""
    find = FindRequest(what="max-rate")
    rates = _levels(LoadRequest(find=find, slo="ttft<1s", duration_s=1000.0))
    assert isinstance(rates, Bisection)
    assert _search(rates, math.inf)[0] == 5000.0
    find = FindRequest(what="max-concurrency")
    slots = _levels(LoadRequest(find=find, slo="ttft<1s", requests_per_concurrency=500))
    assert isinstance(slots, Bisection)
    assert _search(slots, math.inf)[0] == 10_000


def test_a_trace_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    """As many arrivals as it has stamps, at the rate."""
    file = tmp_path / "trace"
    file.write_text("0\n1\n2\n")
    slow = LoadRequest(arrival="replay", trace=str(file), rate=(2e-6,), requests=3)
    with pytest.raises(UsageError, match="3 arrivals at 2e-06 a second"):
        _levels(slow)
    _levels(attrs.evolve(slow, rate=(1.0,), requests=5_000_000))
