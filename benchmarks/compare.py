"""False alarms and found slowdowns of `bench compare`, over simulated pairs of runs.

    python benchmarks/compare.py [--pairs 2000] [--levels 5] [--repeats 3] [--noise 0.02]

A pair is two runs of one series: load levels with repeats of throughput, TPOT and TTFT, with
independent log-normal noise. In one half of the pairs nothing changed, in the other the second run
is 5 % slower. Further cases show what the pooled variance does where levels differ in noise, and
what is found of a slowdown at a single level.
"""

from __future__ import annotations

import argparse
import collections
import time
from collections.abc import Sequence

import attrs
import numpy as np

from tokenbench.api import FrozenMap, LoadLevel, Measurement, PointResult, PointState
from tokenbench.compare.comparison import compare
from tokenbench.compare.series import Verdict
from tokenbench.measure.estimates import estimate

METRICS = {"output_tok_s.steady": 1, "tpot_s.p50": -1, "ttft_s.p50": -1}
"""Metric -> 1 if higher is better, else -1."""
SLOWDOWN = 0.05


@attrs.frozen(kw_only=True)
class Case:
    """How a simulated pair is made. `noise`: relative, of one repeat, per level. `slower`: the
    slowdown per level.
    """

    name: str
    noise: Sequence[float]
    slower: Sequence[float]


def cases(levels: int, noise: float) -> tuple[Case, ...]:
    """The cases; the first two are those with a limit."""
    same, slow = [0.0] * levels, [SLOWDOWN] * levels
    even = [noise] * levels
    rising = [noise * (0.5 + 2 * i / (levels - 1)) for i in range(levels)]
    return (
        Case(name="nothing changed", noise=even, slower=same),
        Case(name="5 % slower", noise=even, slower=slow),
        Case(name="nothing changed, noise rises 5-fold", noise=rising, slower=same),
        Case(
            name="nothing changed, one level 5 x noisier", noise=[*even[1:], 5 * noise], slower=same
        ),
        Case(name="5 % slower, noise rises 5-fold", noise=rising, slower=slow),
        Case(name="5 % slower at one level", noise=even, slower=[*same[1:], SLOWDOWN]),
        Case(name="10 % slower at one level", noise=even, slower=[*same[1:], 2 * SLOWDOWN]),
    )


def run(case: Case, repeats: int, changed: bool, rng: np.random.Generator) -> list[PointResult]:
    """One simulated run."""
    return [
        _point(level, noise, slower if changed else 0.0, repeats, rng)
        for level, (noise, slower) in enumerate(zip(case.noise, case.slower, strict=True))
    ]


def _point(
    level: int, noise: float, slower: float, repeats: int, rng: np.random.Generator
) -> PointResult:
    metrics = {}
    for name, better in METRICS.items():
        base = 100.0 * (level + 1) * (1 - slower) ** better
        values = base * np.exp(rng.normal(0.0, noise, repeats))
        metrics[name] = estimate([float(value) for value in values])
    return PointResult(
        point=f"p{level}",
        run="r",
        deployment="d",
        engine="e",
        engine_version=None,
        model="m",
        precision=None,
        hardware="h",
        accelerators=1,
        layout="tp1",
        workload="w",
        workload_options=FrozenMap({}),
        level=LoadLevel(concurrency=2**level),
        state=PointState.DONE,
        repeats=repeats,
        metrics=FrozenMap(metrics),
        measurement=Measurement.CERTIFIED,
        checks=(),
    )


def outcomes(case: Case, pairs: int, repeats: int, seed: int) -> collections.Counter[str]:
    """How often a pair has a verdict `worse`, `better`, both, or none of them."""
    found: collections.Counter[str] = collections.Counter()
    for number in range(pairs):
        rng = np.random.default_rng([seed, number])
        a, b = run(case, repeats, False, rng), run(case, repeats, True, rng)
        verdicts = {verdict.verdict for verdict in compare(a, b).verdicts}
        found["alarm"] += bool(verdicts & {Verdict.WORSE, Verdict.BETTER})
        found["worse"] += Verdict.WORSE in verdicts
        found["all worse"] += verdicts == {Verdict.WORSE}
    return found


def main() -> None:
    """Print the share of pairs with an alarm, and of those found worse."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--levels", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--noise", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=20261130)
    asked = parser.parse_args()
    print(
        f"{asked.pairs} pairs, {asked.levels} levels, {asked.repeats} repeats, "
        f"{len(METRICS)} metrics, {asked.noise:.1%} noise, seed {asked.seed}"
    )
    started = time.perf_counter()
    for case in cases(asked.levels, asked.noise):
        found = outcomes(case, asked.pairs, asked.repeats, asked.seed)
        shares = {name: found[name] / asked.pairs for name in ("alarm", "worse", "all worse")}
        print(
            f"  {case.name:38} any alarm {shares['alarm']:6.1%}   worse {shares['worse']:6.1%}   "
            f"all metrics worse {shares['all worse']:6.1%}"
        )
    print(f"  {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
