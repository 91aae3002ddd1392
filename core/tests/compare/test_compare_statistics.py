"""Changes with intervals, verdicts of series, conditions; and the promise on simulated pairs."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import attrs
import numpy as np
import pytest

from tokenbench.api import Estimate, FrozenMap, PointResult, UsageError
from tokenbench.compare.change import change, satterthwaite
from tokenbench.compare.comparison import Comparison, compare
from tokenbench.compare.gate import failures, parse_condition
from tokenbench.compare.series import Verdict
from tokenbench.measure.estimates import estimate
from tokenbench.measure.student import t_quantile

FILE = Path(__file__).resolve().parents[3] / "benchmarks" / "compare.py"
THROUGHPUT, TPOT = "output_tok_s.steady", "tpot_s.p50"


@pytest.fixture(scope="module")
def simulation() -> ModuleType:
    """`benchmarks/compare.py`."""
    spec = importlib.util.spec_from_file_location("benchmark_compare", FILE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _run(
    simulation: ModuleType, noise: float, slower: Sequence[float], seed: int, repeats: int = 3
) -> list[PointResult]:
    case = simulation.Case(name="x", noise=[noise] * len(slower), slower=slower)
    points: list[PointResult] = simulation.run(case, repeats, True, np.random.default_rng(seed))
    return points


def _with(point: PointResult, metric: str, values: Sequence[float]) -> PointResult:
    metrics = FrozenMap({**point.metrics, metric: estimate(values)})
    return attrs.evolve(point, metrics=metrics)


@pytest.mark.parametrize(
    ("probability", "degrees", "value"),
    [
        (0.95, 1, 6.3138),
        (0.9, 5, 1.4759),
        (0.975, 10, 2.2281),
        (0.995, 4, 4.6041),
        (0.9995, 20, 3.8495),
        (0.9999, 1, 3183.10),
        (0.5, 7, 0.0),
    ],
)
def test_quantiles_of_student(probability: float, degrees: int, value: float) -> None:
    """Published tables (Abramowitz and Stegun, table 26.10)."""
    assert t_quantile(probability, degrees) == pytest.approx(value, rel=1e-4, abs=1e-9)


def test_satterthwaite() -> None:
    """Equal parts add their degrees of freedom; one large part leaves its own."""
    assert satterthwaite([(1.0, 4)] * 5) == 20
    assert satterthwaite([(1.0, 2), (1e-9, 2)]) == 2
    assert satterthwaite([(0.0, 2), (0.0, 2)]) == 4


def test_change_of_a_point(simulation: ModuleType) -> None:
    """The ratio of geometric means; Welch's interval of the logarithms, computed by hand here."""
    (base,) = _run(simulation, 0.02, [0.0], 1)
    a, b = _with(base, THROUGHPUT, [100.0, 102.0, 98.0]), _with(base, THROUGHPUT, [90, 91, 89.5])
    found = change(a, b, THROUGHPUT)
    logs = [np.log([100.0, 102.0, 98.0]), np.log([90, 91, 89.5])]
    parts = [x.var(ddof=1) / 3 for x in logs]
    difference, error = logs[1].mean() - logs[0].mean(), math.sqrt(sum(parts))
    degrees = math.floor(sum(parts) ** 2 / sum(p**2 / 2 for p in parts))
    assert found.relative == pytest.approx(math.expm1(difference))
    assert found.low == pytest.approx(math.expm1(difference - t_quantile(0.975, degrees) * error))
    assert found.high is not None and found.high < 0
    least = (t_quantile(0.975, degrees) + t_quantile(0.9, degrees)) * error
    assert found.detectable == pytest.approx(math.expm1(least))


def test_change_without_repeats_or_values(simulation: ModuleType) -> None:
    """No interval below 3 repeats; no ratio of a zero; no number of a missing metric."""
    (base,) = _run(simulation, 0.02, [0.0], 1)
    few = change(_with(base, TPOT, [1.0, 1.1]), _with(base, TPOT, [1.0, 1.1, 1.2]), TPOT)
    assert few.relative is not None and few.low is None and few.detectable is None
    zero = change(_with(base, TPOT, [0.0, 1, 1]), _with(base, TPOT, [1.0, 1, 1]), TPOT)
    assert zero.a == pytest.approx(2 / 3) and zero.relative is None
    none = change(attrs.evolve(base, metrics=FrozenMap({})), base, TPOT)
    assert none.a is None and none.b is not None and none.relative is None


def test_wider_intervals_are_kept(simulation: ModuleType) -> None:
    """What an estimate's interval has beyond its repeats' widens the interval of the change."""
    (base,) = _run(simulation, 0.02, [0.0], 1)
    plain = change(base, base, THROUGHPUT)
    own = base.metrics[THROUGHPUT]
    assert own.half_width is not None
    wide = attrs.evolve(own, half_width=5 * own.half_width)
    other = attrs.evolve(base, metrics=FrozenMap({**base.metrics, THROUGHPUT: wide}))
    wider = change(other, other, THROUGHPUT)
    assert plain.low is not None and wider.low is not None and wider.low < 2 * plain.low


def _verdict(comparison: Comparison, metric: str) -> Verdict:
    return next(v.verdict for v in comparison.verdicts if v.metric == metric)


@pytest.mark.parametrize(
    ("slower", "expected"),
    [(0.08, Verdict.WORSE), (-0.08, Verdict.BETTER), (0.0, Verdict.NO_CHANGE)],
)
def test_verdicts(simulation: ModuleType, slower: float, expected: Verdict) -> None:
    """By each metric's own direction: throughput falls and TPOT rises when it gets worse."""
    a, b = _run(simulation, 0.01, [0.0] * 5, 1), _run(simulation, 0.01, [slower] * 5, 2)
    comparison = compare(a, b)
    assert {v.verdict for v in comparison.verdicts} == {expected}
    first = comparison.verdicts[0]
    assert first.low is not None and first.high is not None and first.detectable is not None
    assert first.low < -slower < first.high
    assert first.mean_differs == (expected is not Verdict.NO_CHANGE)


def test_one_slow_level_is_found(simulation: ModuleType) -> None:
    """The mean hides it; the level alone is beyond the noise."""
    a = _run(simulation, 0.01, [0.0] * 8, 1)
    b = _run(simulation, 0.01, [0.0] * 7 + [0.1], 2)
    verdict = compare(a, b, metrics=[THROUGHPUT]).verdicts[0]
    assert verdict.verdict is Verdict.WORSE and [s.level for s in verdict.single] == ["c128"]


@pytest.mark.parametrize(
    ("levels", "repeats", "words"),
    [
        (4, 3, "4 usable load levels, 5 are needed"),
        (5, 2, "0 usable load levels, 5 are needed; fewer than 3 repeats at c1, c2"),
    ],
)
def test_too_little_data(simulation: ModuleType, levels: int, repeats: int, words: str) -> None:
    """Without 5 levels of 3 repeats there is no verdict, however large the change."""
    a = _run(simulation, 0.01, [0.0] * levels, 1, repeats)
    b = _run(simulation, 0.01, [0.3] * levels, 2, repeats)
    verdict = compare(a, b).verdicts[0]
    assert verdict.verdict is Verdict.TOO_LITTLE_DATA
    assert verdict.reason is not None and verdict.reason.startswith(words)


def test_metric_without_a_direction(simulation: ModuleType) -> None:
    """It changed; nobody says that more power is worse."""
    runs = []
    for seed, level in ((1, 100.0), (2, 120.0)):
        points = _run(simulation, 0.01, [0.0] * 5, seed)
        power = "power_w.accelerator"
        runs.append([_with(p, power, [level, level + 1, level + 2]) for p in points])
    verdict = compare(*runs, metrics=["power_w.accelerator"]).verdicts[0]
    assert verdict.verdict is Verdict.CHANGED


def test_equal_values_are_no_change(simulation: ModuleType) -> None:
    """A run against itself, and repeats without any noise."""
    points = _run(simulation, 0.02, [0.0] * 5, 1)
    assert {v.verdict for v in compare(points, points).verdicts} == {Verdict.NO_CHANGE}
    still = [_with(p, THROUGHPUT, [7.0] * 3) for p in points]
    assert _verdict(compare(still, still), THROUGHPUT) is Verdict.NO_CHANGE
    less = [_with(p, THROUGHPUT, [6.9] * 3) for p in points]
    assert _verdict(compare(still, less), THROUGHPUT) is Verdict.WORSE


def test_conditions(simulation: ModuleType) -> None:
    """A slowdown of 8 % fails at 3 % and not at 20 %; better and noise never fail."""
    a, b = _run(simulation, 0.01, [0.0] * 5, 1), _run(simulation, 0.01, [0.08] * 5, 2)
    worse = compare(a, b)
    for text, count in (("regression>3%", 3), (f"{TPOT} > 5 %", 1), ("regression>20%", 0)):
        failed, open_ = failures(worse, [parse_condition(text)])
        assert (len(failed), open_) == (count, []), text
    assert failures(compare(b, a), [parse_condition("regression>0%")]) == ([], [])
    few = compare(a[:4], b[:4])
    failed, open_ = failures(few, [parse_condition("regression>3%")])
    assert not failed and len(open_) == 3
    with pytest.raises(UsageError, match="has no verdict"):
        failures(worse, [parse_condition("e2e_s.p50>3%")])


@pytest.mark.parametrize("text", ["regression", "regression>3", "regression<3%", "worse>3%", ">3%"])
def test_bad_conditions(text: str) -> None:
    """Another form, or no metric."""
    with pytest.raises(UsageError) as caught:
        parse_condition(text)
    assert caught.value.hint


def test_batch_means_give_no_interval_here(simulation: ModuleType) -> None:
    """They do not see what differs between two starts of a server."""
    (base,) = _run(simulation, 0.02, [0.0], 1)
    one = Estimate(mean=1.0, half_width=0.01, values=(1.0,), method="batch means")
    point = attrs.evolve(base, metrics=FrozenMap({TPOT: one}))
    found = change(point, point, TPOT)
    assert found.relative == 0 and found.low is None


def test_false_alarms_and_found_slowdowns(simulation: ModuleType) -> None:
    """300 of the benchmark's 2,000 pairs: at most 6 % false alarms, at least 90 % of slowdowns of
    5 % found; 5 levels, 3 repeats, 3 metrics, 2 % noise.
    """
    same, slow = simulation.cases(5, 0.02)[:2]
    quiet = simulation.outcomes(same, 300, 3, 20261130)
    found = simulation.outcomes(slow, 300, 3, 20261130)
    print(dict(quiet), dict(found))
    assert quiet["alarm"] <= 0.06 * 300
    assert found["worse"] >= 0.9 * 300
