"""Results as JSON lines and as one flat Parquet table, in a schema with a version."""

from __future__ import annotations

import enum
import functools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tokenbench.api import (
    RESULT_SCHEMA_VERSION,
    EvalOutcome,
    FrozenMap,
    PointResult,
    UsageError,
)
from tokenbench.plan.canonical import plain

from .arrow import of_values
from .files import append_line, guarded, settle, write_atomic

if TYPE_CHECKING:
    import cattrs

_T = TypeVar("_T")

# Columns of the flat table before the metrics, with their Arrow types, so that every run's file has
# the same ones; the metrics follow, sorted by name.
_PLAIN = {
    "point": "string",
    "run": "string",
    "deployment": "string",
    "engine": "string",
    "engine_version": "string",
    "model": "string",
    "precision": "string",
    "hardware": "string",
    "accelerators": "int64",
    "layout": "string",
    "workload": "string",
    "state": "string",
    "repeats": "int64",
    "measurement": "string",
    "accuracy": "string",
    "saturated": "bool",
    "error": "string",
    "schema_version": "int64",
    "definitions_version": "int64",
}
_LEVEL = {
    "workload_options": "string",
    "concurrency": "int64",
    "rate_per_s": "float64",
    "unit": "string",
    "arrival": "string",
}


def to_json(value: PointResult | EvalOutcome) -> bytes:
    """One line of JSON."""
    return json.dumps(plain(value), separators=(",", ":"), allow_nan=False).encode()


@functools.cache
def _converter() -> cattrs.Converter:
    import cattrs

    converter = cattrs.Converter(forbid_extra_keys=True)
    converter.register_structure_hook_func(
        lambda kind: getattr(kind, "__origin__", kind) is FrozenMap,
        lambda value, kind: FrozenMap(
            {key: converter.structure(item, kind.__args__[0]) for key, item in value.items()}
        ),
    )
    for exact in (str, int, bool):
        converter.register_structure_hook(exact, _exactly)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook_func(
        lambda kind: kind == str | int | float | bool | None, lambda value, _: value
    )
    return converter


def _exactly(value: Any, kind: type[_T]) -> _T:
    """The value itself: a text is no number, whatever int() makes of it."""
    if issubclass(kind, enum.Enum):
        # A StrEnum is a str, and comes here too.
        return kind(value)
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {value!r}")
    return value


def _number(value: Any, _: type[float]) -> float:
    if type(value) not in (int, float):
        raise TypeError(f"expected a number, got {value!r}")
    return float(value)


def from_json(line: bytes) -> PointResult:
    """A result from its line.

    Raises:
        UsageError: a newer bench wrote it, or it is not a result.
    """
    data = json.loads(line)
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != RESULT_SCHEMA_VERSION:
        raise UsageError(
            f"results of schema version {version!r} cannot be read; this bench reads version "
            f"{RESULT_SCHEMA_VERSION}",
            hint="install the bench that wrote them, or a newer one",
        )
    return _structured(data, PointResult)


def outcome_from_json(data: Any) -> EvalOutcome:
    """An eval's outcome from its JSON data.

    Raises:
        UsageError: it is not one.
    """
    return _structured(data, EvalOutcome)


def _structured(data: Any, kind: type[_T]) -> _T:
    try:
        return _converter().structure(data, kind)
    except Exception as error:
        import cattrs

        reasons = cattrs.transform_error(error, path=kind.__name__)
        raise UsageError(
            f"not a {kind.__name__}: {'; '.join(reasons[:3])}",
            hint="the file was changed, or a bench with other fields wrote it",
        ) from error


def append_result(file: Path, result: PointResult) -> None:
    """Add a finished point."""
    append_line(file, to_json(result))


def rewrite_results(file: Path, results: Iterable[PointResult]) -> None:
    """Replace all lines, when accuracy became known."""
    write_atomic(file, b"".join(to_json(result) + b"\n" for result in results))


def read_results(file: Path) -> list[PointResult]:
    """All results of a run; a last line that was cut is left out."""
    if not file.exists():
        return []
    found = []
    lines = file.read_bytes().split(b"\n")
    for number, line in enumerate(lines):
        if not line:
            continue
        try:
            found.append(from_json(line))
        except ValueError:
            # Not always JSONDecodeError: a lost page leaves zero bytes, read as another encoding.
            if number < len(lines) - 1:
                raise UsageError(
                    f"{file}:{number + 1} is damaged", hint="restore the file"
                ) from None
    return found


def flat_row(result: PointResult) -> dict[str, Any]:
    """One flat row: a metric's mean under its name, its half-width under `NAME.half_width`."""
    row = {name: plain(getattr(result, name)) for name in _PLAIN}
    row["workload_options"] = json.dumps(plain(result.workload_options), sort_keys=True)
    row["concurrency"] = result.level.concurrency
    row["rate_per_s"] = result.level.rate_per_s
    row["unit"] = result.level.unit
    row["arrival"] = result.level.arrival
    for name in sorted(result.metrics):
        row[name] = result.metrics[name].mean
        row[f"{name}.half_width"] = result.metrics[name].half_width
    return row


def write_table(file: Path, results: Sequence[PointResult]) -> None:
    """Write the flat table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [flat_row(result) for result in results]
    metrics = sorted({metric for result in results for metric in result.metrics})
    types = {**_PLAIN, **_LEVEL}
    types |= {name: "float64" for metric in metrics for name in (metric, f"{metric}.half_width")}
    columns = {
        name: of_values([row.get(name) for row in rows], kind) for name, kind in types.items()
    }
    table = pa.table(columns).replace_schema_metadata(
        {"tokenbench.schema": f"results {RESULT_SCHEMA_VERSION}"}
    )
    draft = file.with_name(f".{file.name}")
    with guarded(file):
        try:
            pq.write_table(table, draft, compression="zstd")
            settle(draft, file)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
