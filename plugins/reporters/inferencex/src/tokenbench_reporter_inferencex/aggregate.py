"""Aggregate JSON of InferenceX: keys and units of its `utils/process_result.py`, and of
`utils/aggregate_power.py` and `aggregate_power_multinode.py` for power (SemiAnalysisAI/InferenceX,
2026-08-21).

Times are in seconds, interactivity in tokens/s of a user, throughputs in tokens/s per accelerator,
energy in joules, power in watts. A key whose value was not measured is left out.
"""

from __future__ import annotations

import collections
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from tokenbench.api import (
    DECODE,
    PREFILL,
    Accuracy,
    Artifact,
    Measurement,
    PointResult,
    PointState,
    Reporter,
    RunView,
    View,
)

from .keys import FRAMEWORKS, MODEL_PREFIXES, configuration, metrics
from .layout import Degrees, LeftOut, parse

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class InferenceXReporter(Reporter):
    """Writes ``agg_bmk.json``, the list that InferenceX collects, and says what it left out."""

    def __init__(self, *, image: str | None, model_prefix: str | None) -> None:
        self._image = image
        self._model_prefix = model_prefix

    def render(self, view: View) -> Iterable[Artifact]:
        """The rows of all runs, and a text."""
        rows = []
        left_out: dict[str, list[str]] = collections.defaultdict(list)
        written: list[PointResult] = []
        for run in view.runs:
            for point in run.results:
                try:
                    rows.append(self._row(point))
                except LeftOut as error:
                    left_out[str(error)].append(f"{run.id} {point.level.label}")
                else:
                    written.append(point)
        content = json.dumps(rows, indent=2, allow_nan=False) + "\n"
        yield Artifact(content=content.encode(), media_type="application/json", name="agg_bmk.json")
        yield Artifact(content="\n".join(_summary(view.runs, written, left_out)).encode())

    def _row(self, point: PointResult) -> dict[str, Any]:
        if reason := _unusable(point):
            raise LeftOut(reason)
        layout = parse(point.layout)
        _check_accelerators(point, layout)
        stated = {} if point.origin is None else point.origin.fields
        prefix = self._model_prefix or MODEL_PREFIXES.get(point.model, point.model)
        return {
            "hw": point.hardware,
            "conc": point.level.concurrency,
            "image": stated.get("image") or self._image,
            "model": stated.get("model_id") or point.model,
            "infmax_model_prefix": prefix,
            "framework": stated.get("framework") or FRAMEWORKS.get(point.engine, point.engine),
            "precision": point.precision,
            "spec_decoding": point.speculation,
            "disagg": point.roles is not None,
            "recipe_fingerprint": stated.get("recipe_fingerprint") or "",
            "isl": point.workload_options["input_tokens"],
            "osl": point.workload_options["output_tokens"],
            **configuration(point, layout),
            **metrics(point),
        }


def _unusable(point: PointResult) -> str | None:
    """Why a point cannot be a row."""
    if point.state is not PointState.DONE:
        return f"the point is {point.state}"
    if point.measurement is Measurement.INVALID:
        return "the measurement is invalid"
    if point.accuracy is Accuracy.FAIL:
        return "the accuracy failed"
    if point.level.concurrency is None:
        return "the load is an arrival rate, not a concurrency"
    lengths = [point.workload_options.get(name) for name in ("input_tokens", "output_tokens")]
    if not all(isinstance(length, int) for length in lengths):
        return "its workload has no input_tokens and output_tokens"
    if point.mean("total_tok_s_per_accelerator.whole") is None:
        return "its total throughput per accelerator was not measured"
    return None


def _check_accelerators(point: PointResult, layout: dict[str | None, Degrees]) -> None:
    """One server: InferenceX takes the number of accelerators from the degrees.

    Raises:
        LeftOut: they contradict each other, or the roles.
    """
    expected = {None} if point.roles is None else set(point.roles)
    if set(layout) != expected or (point.roles is not None and expected != {PREFILL, DECODE}):
        raise LeftOut("its layout and its roles do not agree")
    if point.roles is None and layout[None].accelerators != point.accelerators:
        raise LeftOut("its layout has another number of accelerators than the result")


def _same_protocol(point: PointResult) -> bool:
    options = point.workload_options
    ranges = (options.get("input_range"), options.get("output_range"))
    return point.workload == "random" and ranges == (0.8, 0.8)


def _summary(
    runs: Sequence[RunView], written: Sequence[PointResult], left_out: dict[str, list[str]]
) -> list[str]:
    total = sum(len(run.results) for run in runs)
    lines = [f"inferencex: {len(written)} of {total} points"]
    if foreign := sum(not _same_protocol(point) for point in written):
        lines.append(
            f"  {foreign} with another workload than InferenceX's (random:input_range=0.8,"
            "output_range=0.8): not comparable with its rows"
        )
    if flagged := sum(point.measurement is Measurement.FLAGGED for point in written):
        lines.append(f"  {flagged} flagged: the format has no key for it")
    if silent := sum(point.speculation is None for point in written):
        lines.append(f"  {silent} do not say whether they speculate: InferenceX reads none")
    for reason, points in left_out.items():
        named = ", ".join(points[:5]) + (f" and {len(points) - 5} more" if len(points) > 5 else "")
        lines.append(f"  left out, because {reason}: {_CONTROL.sub(' ', named)}")
    return [*lines, ""]
