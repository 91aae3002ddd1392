"""Seeded points for tests of the HTML report: metrics with intervals, all verdicts."""

from __future__ import annotations

import random

import attrs

from tokenbench.api import (
    Accuracy,
    Architecture,
    Check,
    CheckOutcome,
    Economics,
    Estimate,
    FrozenMap,
    LoadLevel,
    Measurement,
    Origin,
    PointResult,
    PointState,
    RunView,
    View,
)
from tokenbench.economics.attach import with_metrics
from tokenbench.economics.composition import compositions
from tokenbench.economics.definitions import DERIVED
from tokenbench.economics.point_bounds import speed_of_light
from tokenbench.economics.points import catalogue_rates, economics_of
from tokenbench.measure.definitions import DEFINITIONS
from tokenbench.plugins.catalogue import read_catalogue
from tokenbench.plugins.registry import PluginRegistry

HARDWARE = ("h100", "h200", "b200", "b300", "gb200", "gb300", "mi300x", "mi325x", "mi355x")
# 7 billion weights, all read in each step.
MODEL = Architecture(
    parameters=7_000_000_000,
    layers=32,
    hidden=4096,
    vocabulary=128_000,
    kv_heads=8,
    head_dim=128,
)
ENGINES = ("vllm", "sglang", "trtllm", "atom")
PRECISIONS = ("fp8", "fp4", "bf16")
PERCENTILES = {
    "mean": 1.02,
    "p50": 1.0,
    "p75": 1.06,
    "p90": 1.15,
    "p95": 1.24,
    "p99": 1.6,
    "p99_9": 2.1,
}
_VERDICTS = (Measurement.CERTIFIED, Measurement.FLAGGED, Measurement.INVALID, Measurement.IMPORTED)


def estimate(value: float, share: float | None = 0.03) -> Estimate:
    """An estimate of three repeats; `share`: relative half-width."""
    width = None if share is None else value * share
    return Estimate(mean=value, half_width=width, values=(value,) * 3, method="repeats")


def metrics(draw: random.Random, concurrency: int, strength: float) -> FrozenMap[Estimate]:
    """A plausible point: more requests give more throughput and less interactivity."""
    interactivity = 240 / (1 + concurrency / 24) * draw.uniform(0.85, 1.15)
    per_accelerator = interactivity * concurrency / 8 * strength * draw.uniform(0.8, 1.2)
    ttft = 0.05 * (1 + concurrency / 40) * draw.uniform(0.8, 1.3)
    found: dict[str, Estimate] = {}
    width = draw.uniform(0.005, 0.06)
    for window, part in (("steady", 1.0), ("whole", 0.93)):
        for kind, share in (("total", 1.0), ("input", 0.6), ("output", 0.4)):
            speed = per_accelerator * share * part
            found[f"{kind}_tok_s_per_accelerator.{window}"] = estimate(speed, width)
    for name, factor in PERCENTILES.items():
        found[f"interactivity_tok_s.{name}"] = estimate(interactivity / factor, width)
        found[f"tpot_s.{name}"] = estimate(factor / interactivity, width)
        found[f"ttft_s.{name}"] = estimate(ttft * factor, width * 2)
        found[f"e2e_s.{name}"] = estimate((ttft + 1024 / interactivity) * factor, width)
    found["energy_j_per_total_token.accelerator"] = estimate(700 / per_accelerator, width)
    return FrozenMap(found)


def point(draw: random.Random, number: int, **changes: object) -> PointResult:
    """The point of a number; every fact follows from `draw` unless it is in `changes`."""
    hardware, engine = draw.choice(HARDWARE), draw.choice(ENGINES)
    (verdict,) = draw.choices(_VERDICTS, (80, 12, 5, 3))
    concurrency = draw.choice((1, 2, 4, 8, 16, 32, 64, 128, 256, 512))
    check = Check(name="precision", outcome=CheckOutcome.FLAGGED, evidence=f"95 % CI ±{number} %")
    origin = Origin(format="inferencex", files=("rows.csv",), row=number)
    facts: dict[str, object] = {
        "point": f"{number:016x}",
        "run": "run-0",
        "deployment": f"{number // 10:016x}",
        "engine": engine,
        "engine_version": f"0.{draw.randrange(20, 24)}.0",
        "model": "deepseek-r1",
        "precision": draw.choice(PRECISIONS),
        "hardware": hardware,
        "accelerators": 8,
        "layout": draw.choice(("tp8", "tp8ep8", "tp4pp2")),
        "workload": "random",
        "workload_options": FrozenMap({"input_tokens": 1024, "output_tokens": 1024}),
        "level": LoadLevel(concurrency=concurrency),
        "state": PointState.DONE,
        "repeats": 3,
        "metrics": metrics(draw, concurrency, 1 + HARDWARE.index(hardware) / 4),
        "measurement": verdict,
        "checks": (check,) if verdict in (Measurement.FLAGGED, Measurement.INVALID) else (),
        "accuracy": draw.choices((Accuracy.PASS, Accuracy.FAIL, Accuracy.NOT_RUN), (90, 2, 8))[0],
        "speculation": draw.choice(("none", "mtp")),
        "roles": draw.choice((None, FrozenMap({"prefill": 4, "decode": 4}))),
        "origin": origin if verdict is Measurement.IMPORTED else None,
        **changes,
    }
    return PointResult(**facts)  # type: ignore[arg-type]


def run(results: tuple[PointResult, ...], **changes: object) -> RunView:
    """A complete run."""
    facts: dict[str, object] = {
        "id": "run-0",
        "path": "runs/run-0",
        "name": "generated points",
        "started": "2026-01-02T03:04:05Z",
        "finished": "2026-01-02T04:04:05Z",
        "state": "complete",
        "results": results,
        "evals": (),
        "provenance": FrozenMap({"bench.version": "0.1.0"}),
        **changes,
    }
    return RunView(**facts)  # type: ignore[arg-type]


def costs_of(results: tuple[PointResult, ...]) -> Economics:
    """At the rates of the installed hardware plugins."""
    catalogue = read_catalogue(PluginRegistry())
    sets = catalogue_rates((entry.sku for entry in catalogue.entries), None, "")
    return economics_of(results, [result.hardware for result in results], sets)


def view(results: tuple[PointResult, ...], **changes: object) -> View:
    """A view with costs, gains, and shares of the speed of light as a report has them."""
    catalogue = read_catalogue(PluginRegistry())
    chips = {entry.sku.name: entry.sku for entry in catalogue.entries}
    bounds = speed_of_light(
        results, [chips.get(one.hardware) for one in results], [MODEL] * len(results)
    )
    return View(
        runs=with_metrics((run(results, **changes),), bounds),
        definitions=(*DEFINITIONS, *DERIVED),
        economics=attrs.evolve(costs_of(results), compositions=compositions(results)),
    )


def generated(count: int, seed: int = 17) -> View:
    """`count` seeded points."""
    draw = random.Random(seed)
    return view(tuple(point(draw, number) for number in range(count)))
