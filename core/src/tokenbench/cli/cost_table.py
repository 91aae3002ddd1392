"""Series of points and their costs, as tables and as plain data."""

from __future__ import annotations

import collections
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs

from tokenbench.api import PointResult, UsageError
from tokenbench.compare.match import usable
from tokenbench.economics.calculator import Calculation
from tokenbench.economics.column import Column
from tokenbench.store.layout import RunDirectory
from tokenbench.store.view import read_view

from .cost import FIELDS
from .streams import echo
from .table import print_table, printable

_NONE = "-"


@attrs.frozen(kw_only=True)
class Series:
    """Points of one model, chip and workload that agree in the chosen fields."""

    name: str
    workload: str
    points: tuple[PointResult, ...]


@attrs.frozen(kw_only=True)
class Row:
    """A series at one interactivity. `figures`: value and half-width by column of `Calculation`;
    None for unknown. `rates`: the sets that entered them. `hint`: why the cost is unknown.
    """

    series: str
    workload: str
    interactivity: float
    figures: dict[str, tuple[float | None, float | None]]
    rates: tuple[str, ...]
    hint: str | None


def series_of(
    runs: Sequence[Path], by: Sequence[str], filters: Sequence[str]
) -> tuple[Series, ...]:
    """The usable points of the runs, in series.

    Raises:
        UsageError: an unknown field, or no point is left.
    """
    for name in by:
        if name not in FIELDS:
            raise UsageError(f"--by {name}: not a field", hint=f"fields: {', '.join(FIELDS)}")
    wanted = [_condition(text) for text in filters]
    views = [read_view(RunDirectory.open(path)) for path in runs]
    points = usable(point for view in views for point in view.results)[0]
    groups: dict[tuple[str, str], list[PointResult]] = collections.defaultdict(list)
    for point in points:
        if all(_value(point, name) == value for name, value in wanted):
            names = dict.fromkeys(("model", "hardware", *by))
            key = " ".join(str(getattr(point, n)) for n in names if getattr(point, n) is not None)
            groups[key, _workload(point)].append(point)
    if not groups:
        raise UsageError(
            "no usable point is left",
            hint="invalid and failed points have no cost; check --where",
        )
    return tuple(
        Series(name=name, workload=workload, points=tuple(some))
        for (name, workload), some in groups.items()
    )


def _workload(point: PointResult) -> str:
    options = ", ".join(f"{k} {v}" for k, v in point.workload_options.items() if v is not None)
    return f"{point.workload}{options and f': {options}'}"


def _condition(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(
            f"--where {text}: expected FIELD=VALUE", hint="for example --where precision=fp8"
        )
    return name, value


def _value(point: PointResult, name: str) -> str:
    """A field, else an option of the workload; both as text."""
    if name in FIELDS:
        return str(getattr(point, name))
    return str(point.workload_options.get(name))


def rows_of(series: Series, targets: Sequence[float], found: Calculation) -> Iterator[Row]:
    """One row per interactivity."""
    columns = {field.name: getattr(found, field.name) for field in attrs.fields(Calculation)}
    rates = dict.fromkeys(str(rate) for column in columns.values() for rate in column.rates)
    for index, target in enumerate(targets):
        yield Row(
            series=series.name,
            workload=series.workload,
            interactivity=target,
            figures={name: _entry(column, index) for name, column in columns.items()},
            rates=tuple(rates),
            hint=_hint(found.total, index),
        )


def _entry(column: Column, index: int) -> tuple[float | None, float | None]:
    at = index if len(column) > 1 else 0
    return column.listed()[at], column.listed_half_widths()[at]


def _hint(column: Column, index: int) -> str | None:
    return column.hints[index if len(column) > 1 else 0]


def show(rows: Sequence[Row], *, faster: float | None, mw: float | None, revenue: bool) -> None:
    """A table per workload and interactivity, cheapest first."""
    columns = [
        *(("throughput", "tok/s/accel."), ("total", "USD/Mtok"), ("input", "input*")),
        ("output", "output*"),
        *([("faster", f"x at {faster:g}")] if faster is not None else []),
        *([("revenue", "USD/accel./h"), ("margin", "margin")] if revenue else []),
        *([("margin_input", "input*"), ("margin_output", "output*")] if revenue else []),
        *([("accelerators", "accel."), ("cost_month", "USD/month")] if mw is not None else []),
        *([("revenue_month", "revenue/month")] if mw is not None and revenue else []),
    ]
    groups: dict[tuple[str, float], list[Row]] = collections.defaultdict(list)
    for row in rows:
        groups[row.workload, row.interactivity].append(row)
    for (workload, target), some in groups.items():
        echo(f"at {target:g} tok/s/user, {printable(workload)}")
        table = (
            [row.series, *(_cell(row, name) for name, _ in columns), row.hint or ""]
            for row in sorted(some, key=_cheapest)
        )
        header = ["series", *(title for _, title in columns), ""]
        print_table([header, *table], right=range(1, len(columns) + 1))
        echo()
    echo("* carries the whole machine: input and output are never added")
    rates = dict.fromkeys(rate for row in rows for rate in row.rates)
    echo(f"rates and prices: {printable('; '.join(rates)) or 'none known'}")


def _cheapest(row: Row) -> tuple[float, float]:
    cost, speed = row.figures["total"][0], row.figures["throughput"][0]
    return (math.inf if cost is None else cost, -(speed or 0.0))


def _cell(row: Row, name: str) -> str:
    value, half = row.figures[name]
    if value is None:
        return _NONE
    if name.startswith("margin"):
        return f"{value:.1%}".replace("%", " %")
    width = f" ± {half:.2g}" if half else ""
    return (f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}") + width


def as_data(rows: Sequence[Row]) -> dict[str, Any]:
    """For ``--json``."""
    return {
        "schema": "tokenbench-cost 1",
        "rows": [
            {
                **attrs.asdict(row, filter=lambda field, _: field.name != "figures"),
                "figures": {
                    name: {"value": value, "half_width": half}
                    for name, (value, half) in row.figures.items()
                },
            }
            for row in rows
        ],
    }
