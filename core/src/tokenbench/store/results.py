"""Results as JSON lines and as a flat Parquet table, with a schema version."""

from __future__ import annotations

import enum
import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tokenbench.api import (
    DECODE,
    PREFILL,
    RESULT_SCHEMA_VERSION,
    Architecture,
    EvalOutcome,
    FrozenMap,
    PointResult,
    UsageError,
)
from tokenbench.plan.canonical import canonical_json, plain

from .arrow import value_array, write_columns
from .files import append_line, write_atomic

if TYPE_CHECKING:
    import cattrs

_T = TypeVar("_T")

# The first columns of the flat table, with fixed Arrow types, so that all runs have the same ones.
# The metrics follow, sorted by name.
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
    "load_workers": "int64",
    "server": "string",
    "devices": "string",
    "speculation": "string",
    "date": "string",
    "error": "string",
    "schema_version": "int64",
    "definitions_version": "int64",
}
_LEVEL = {
    "workload_options": "string",
    "concurrency": "int64",
    "rate_per_s": "float64",
    "speed": "float64",
    "unit": "string",
    "arrival": "string",
    "prefill_accelerators": "int64",
    "decode_accelerators": "int64",
    "notes": "string",
    "origin": "string",
}


def to_json(value: PointResult | EvalOutcome) -> bytes:
    """One line of JSON, without the line break."""
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
        converter.register_structure_hook(exact, _exact)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook_func(
        lambda kind: kind == str | int | float | bool | None, lambda value, _: value
    )
    return converter


def _exact(value: Any, kind: type[_T]) -> _T:
    """The value unchanged. Strings and numbers are not converted to each other."""
    if issubclass(kind, enum.Enum):
        # StrEnum is a subclass of str.
        return kind(value)
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {value!r}")
    return value


def _number(value: Any, _: type[float]) -> float:
    if type(value) not in (int, float):
        raise TypeError(f"expected a number, got {value!r}")
    return float(value)


def from_json(line: bytes) -> PointResult:
    """A result from its JSON line.

    Raises:
        UsageError: the line is not a result, or of another schema version.
    """
    data = json.loads(line)
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != RESULT_SCHEMA_VERSION:
        raise UsageError(
            f"results have schema version {version!r}; this version of bench reads "
            f"{RESULT_SCHEMA_VERSION}",
            hint="use the version of bench that wrote them, or a newer one",
        )
    return _structure(data, PointResult)


def outcome_from_json(data: Any) -> EvalOutcome:
    """An eval's outcome from its JSON data.

    Raises:
        UsageError: the data are not an eval's outcome.
    """
    return _structure(data, EvalOutcome)


def architecture_from_json(data: Any) -> Architecture:
    """A model's shape from its JSON data.

    Raises:
        UsageError: the data are not a shape.
    """
    return _structure(data, Architecture)


def _structure(data: Any, kind: type[_T]) -> _T:
    try:
        return _converter().structure(data, kind)
    except Exception as error:
        import cattrs

        reasons = cattrs.transform_error(error, path=kind.__name__)
        raise UsageError(
            f"not a {kind.__name__}: {'; '.join(reasons[:3])}",
            hint="the file was edited, or another version of bench wrote it",
        ) from error


def append_result(file: Path, result: PointResult) -> None:
    """Append the result of a finished point."""
    append_line(file, to_json(result))


def rewrite_results(file: Path, results: Iterable[PointResult]) -> None:
    """Replace all lines, for example after the evals."""
    write_atomic(file, b"".join(to_json(result) + b"\n" for result in results))


def read_results(file: Path) -> list[PointResult]:
    """All results of a run, without an incomplete last line."""
    if not file.exists():
        return []
    results = []
    lines = file.read_bytes().split(b"\n")
    for number, line in enumerate(lines):
        if not line:
            continue
        try:
            results.append(from_json(line))
        except ValueError:
            # Also UnicodeDecodeError: zero bytes after a crash look like another encoding.
            if number < len(lines) - 1:
                raise UsageError(
                    f"{file}:{number + 1} is damaged", hint="restore the file from a copy"
                ) from None
    return results


def flat_row(result: PointResult) -> dict[str, Any]:
    """A flat row: a metric's mean is in column NAME, its half-width in ``NAME.half_width``."""
    row = {name: plain(getattr(result, name)) for name in _PLAIN}
    row["workload_options"] = json.dumps(plain(result.workload_options), sort_keys=True)
    row["concurrency"] = result.level.concurrency
    row["rate_per_s"] = result.level.rate_per_s
    row["speed"] = result.level.speed
    row["unit"] = result.level.unit
    row["arrival"] = result.level.arrival
    roles: Mapping[str, int] = result.roles or {}
    row["prefill_accelerators"] = roles.get(PREFILL)
    row["decode_accelerators"] = roles.get(DECODE)
    row["notes"] = "; ".join(result.notes) or None
    row["origin"] = None if result.origin is None else canonical_json(result.origin)
    for name in sorted(result.metrics):
        row[name] = result.metrics[name].mean
        row[f"{name}.half_width"] = result.metrics[name].half_width
    return row


def write_table(file: Path, results: Sequence[PointResult]) -> None:
    """Write the flat table atomically."""
    rows = [flat_row(result) for result in results]
    metrics = sorted({metric for result in results for metric in result.metrics})
    types = {**_PLAIN, **_LEVEL}
    types |= {name: "float64" for metric in metrics for name in (metric, f"{metric}.half_width")}
    columns = {
        name: value_array([row.get(name) for row in rows], kind) for name, kind in types.items()
    }
    write_columns(columns, f"results {RESULT_SCHEMA_VERSION}", file)
