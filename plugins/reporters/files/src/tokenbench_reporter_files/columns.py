"""What the columns of the table mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import attrs

from tokenbench.api import MetricDefinition

HALF_WIDTH = ".half_width"
_INTRODUCTION = (
    "One row per point. An empty cell was not measured, or is unknown; 0 is a measured zero. A "
    "metric has two columns: its mean over repeats, and the half-width of its 95 % confidence "
    "interval. In results.json a result has the same fields, and the values of all repeats in "
    "`metrics`."
)
FACTS = MappingProxyType(
    {
        "run": ("", "Identity of the run."),
        "point": ("", "Identity of the point: equal for equal plans."),
        "deployment": ("", "Identity of the deployment."),
        "engine": ("", "Name of the engine."),
        "engine_version": ("", "Version that the engine reported."),
        "model": ("", "Name of the model."),
        "precision": ("", "Precision of the weights."),
        "hardware": ("", "SKU of the accelerators, or the CPU."),
        "accelerators": ("accelerators", "Accelerators of the whole deployment."),
        "layout": ("", "Degrees of parallelism, per role if disaggregated (tp8, dp8ep8)."),
        "workload": ("", "Name of the workload."),
        "workload_options": ("", "Options of the workload, as a JSON object."),
        "state": ("", "How the point ended: done, failed, stalled or interrupted."),
        "repeats": ("repeats", "Repeats that were measured."),
        "measurement": (
            "",
            "Verdict: certified, flagged or invalid; imported if another tool measured it.",
        ),
        "accuracy": (
            "",
            "Verdict on the deployment's accuracy: pass, fail, undecided or not run.",
        ),
        "saturated": ("", "Whether requests queued in the server; empty if unknown."),
        "load_workers": ("processes", "Load workers that sent the requests."),
        "server": ("", "Host and port of a server that the run did not start."),
        "speculation": ("", "Method of speculative decoding, none without it; empty if unknown."),
        "date": ("", "Day of the measurement, UTC, ISO 8601."),
        "error": ("", "Why the point failed."),
        "schema_version": ("", "Version of the results format."),
        "definitions_version": ("", "Version of the definitions of metrics."),
        "concurrency": ("requests", "Load level of a closed loop: requests in flight."),
        "rate_per_s": ("requests/s", "Load level of an open loop: arrivals per second."),
        "prefill_accelerators": ("accelerators", "Accelerators of prefill, if disaggregated."),
        "decode_accelerators": ("accelerators", "Accelerators of decode, if disaggregated."),
        "rates": (
            "",
            "Set of rates of costs and provisioned power, with its dated sources.",
        ),
        "notes": ("", "What a reader must know, such as figures that contradict each other."),
        "origin": ("", "File, row and other fields of an imported point, as a JSON object."),
    }
)
"""Column that is not a metric -> unit ("" for none), description."""


@attrs.frozen
class Described:
    """A column's unit ("" for none) and description."""

    name: str
    unit: str
    text: str


def describe(names: Iterable[str], definitions: Sequence[MetricDefinition]) -> list[Described]:
    """The columns in their order; a metric that no definition names has an empty description."""
    known = {definition.name: definition for definition in definitions}
    return [_described(name, known) for name in names]


def _described(name: str, known: Mapping[str, MetricDefinition]) -> Described:
    if name in FACTS:
        return Described(name, *FACTS[name])
    metric = name.removesuffix(HALF_WIDTH)
    definition = known.get(metric)
    if definition is None:
        return Described(name, "", "")
    unit = "" if definition.unit == "1" else definition.unit
    text = f"{definition.title[:1].upper()}{definition.title[1:]}. {definition.definition}"
    if metric != name:
        text = f"Half-width of the 95 % confidence interval of {metric}; empty if there is none."
    return Described(name, unit, text)


def page(columns: Sequence[Described]) -> str:
    """The descriptions as a Markdown table."""
    lines = [
        "# Columns of results.csv and results.parquet",
        "",
        _INTRODUCTION,
        "",
        "| column | unit | meaning |",
        "| --- | --- | --- |",
    ]
    lines += [f"| `{_cell(c.name)}` | {_cell(c.unit)} | {_cell(c.text)} |" for c in columns]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
