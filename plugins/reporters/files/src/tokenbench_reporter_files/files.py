"""Results as files: a JSON document, and a flat table as CSV or Parquet."""

from __future__ import annotations

import csv
import enum
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from tokenbench.api import (
    DECODE,
    PREFILL,
    Artifact,
    PointResult,
    Reporter,
    RunView,
    UsageError,
    View,
)

from .columns import HALF_WIDTH, describe, page

# A spreadsheet executes a cell that starts with one of these as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_PRICED = ("usd_per_million_", "provisioned_j_")
_PLAIN = (
    "run",
    "point",
    "deployment",
    "engine",
    "engine_version",
    "model",
    "precision",
    "hardware",
    "accelerators",
    "layout",
    "workload",
    "state",
    "repeats",
    "measurement",
    "accuracy",
    "saturated",
    "load_workers",
    "server",
    "speculation",
    "date",
    "error",
    "schema_version",
    "definitions_version",
)


class FilesReporter(Reporter):
    """Renders the requested formats."""

    def __init__(self, formats: Sequence[str], *, describe: bool = False) -> None:
        if not formats:
            raise UsageError(
                "formats: no format is given",
                hint=f"formats: {', '.join(_MAKERS)}; or leave the reporter out",
            )
        self._formats = tuple(formats)
        self._describe = describe

    def render(self, view: View) -> Iterable[Artifact]:
        """One artifact per format, and the description of the columns."""
        for name in self._formats:
            yield _MAKERS[name](view)
        if self._describe:
            yield _columns(view)


def _json(view: View) -> Artifact:
    document = {
        "schema": "tokenbench-report 1",
        "runs": [_run(run) for run in view.runs],
        "definitions": [_plain(definition) for definition in view.definitions],
    }
    content = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # JSON has the same escapes; a path that is not valid UTF-8 needs them.
    data = content.encode(errors="backslashreplace")
    return Artifact(content=data, media_type="application/json", name="results.json")


def _run(run: RunView) -> dict[str, Any]:
    found: dict[str, Any] = _plain(run)
    return found


def _csv(view: View) -> Artifact:
    rows = _rows(view)
    names = _names(rows)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_safe(row.get(name)) for name in names])
    data = out.getvalue().encode(errors="backslashreplace")
    return Artifact(content=data, media_type="text/csv", name="results.csv")


def _columns(view: View) -> Artifact:
    columns = describe(_names(_rows(view)), view.definitions)
    return Artifact(
        content=page(columns).encode(errors="backslashreplace"),
        media_type="text/markdown; charset=utf-8",
        name="columns.md",
    )


def _parquet(view: View) -> Artifact:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = _rows(view)
    columns, fields = [], []
    for column in describe(_names(rows), view.definitions):
        values = [row.get(column.name) for row in rows]
        numbers = all(v is None or isinstance(v, float) for v in values)
        array = pa.array(values, type=pa.float64() if numbers else None)
        about = {"unit": column.unit, "description": column.text}
        columns.append(array)
        fields.append(pa.field(column.name, array.type, metadata=about))
    out = io.BytesIO()
    pq.write_table(pa.table(columns, schema=pa.schema(fields)), out, compression="zstd")
    return Artifact(
        content=out.getvalue(), media_type="application/vnd.apache.parquet", name="results.parquet"
    )


_MAKERS: dict[str, Callable[[View], Artifact]] = {
    "json": _json,
    "csv": _csv,
    "parquet": _parquet,
}


def _rows(view: View) -> list[dict[str, Any]]:
    rates = None
    for first in view.economics.rates[:1] if view.economics else ():
        rates = f"{first.name}, {first.ownership}: {'; '.join(first.identities)}"
    return [_row(result, rates) for run in view.runs for result in run.results]


def _row(result: PointResult, rates: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {name: _plain(getattr(result, name)) for name in _PLAIN}
    row["workload_options"] = json.dumps(_plain(result.workload_options), sort_keys=True)
    row["concurrency"] = result.level.concurrency
    row["rate_per_s"] = result.level.rate_per_s
    roles: Mapping[str, int] = result.roles or {}
    row["prefill_accelerators"] = roles.get(PREFILL)
    row["decode_accelerators"] = roles.get(DECODE)
    if any(name.startswith(_PRICED) for name in result.metrics):
        row["rates"] = rates
    row["notes"] = "; ".join(result.notes) or None
    row["origin"] = None if result.origin is None else json.dumps(_plain(result.origin))
    for name in sorted(result.metrics):
        row[name] = result.metrics[name].mean
        row[f"{name}{HALF_WIDTH}"] = result.metrics[name].half_width
    return row


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _safe(value: Any) -> Any:
    """A cell. None is empty; text that a spreadsheet would execute gets a leading quote."""
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value


def _plain(value: Any) -> Any:
    if attrs.has(type(value)):
        return {f.name: _plain(getattr(value, f.name)) for f in attrs.fields(type(value))}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
