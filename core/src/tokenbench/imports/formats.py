"""The formats that can be imported: how each is recognised, and read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from tokenbench.api import UsageError

from . import aiperf, guidellm, inferencex, inferencex_agg, llmd, vllm_serve
from .draft import Draft
from .fields import Fields, Place

_LIMIT_BYTES = 1 << 30


@attrs.frozen(kw_only=True)
class Format:
    """A format of files. `recognised_by`: fields of the first row that identify the format.
    `rows`: whether a file has many rows, one measurement each.
    """

    name: str
    summary: str
    recognised_by: tuple[str, ...]
    read: Callable[[Sequence[Fields], Callable[[str], str]], list[Draft]]
    rows: bool = False


def _one(
    read: Callable[[Fields], list[Draft]],
) -> Callable[[Sequence[Fields], Callable[[str], str]], list[Draft]]:
    def read_all(rows: Sequence[Fields], sku: Callable[[str], str]) -> list[Draft]:
        return [draft for row in rows for draft in read(row)]

    return read_all


FORMATS = (
    Format(
        name="inferencex",
        summary="rows of InferenceX, as CSV or as JSON of its API",
        recognised_by=("framework", "conc", "hardware"),
        read=inferencex.read,
        rows=True,
    ),
    Format(
        name="inferencex-agg",
        summary="aggregate JSON of InferenceX (agg_*.json)",
        recognised_by=("framework", "conc", "hw", "infmax_model_prefix"),
        read=inferencex_agg.read,
        rows=True,
    ),
    Format(
        name="vllm-serve",
        summary="result file of `vllm bench serve`",
        recognised_by=("model_id", "total_token_throughput"),
        read=_one(vllm_serve.read),
    ),
    Format(
        name="aiperf",
        summary="profile_export_aiperf.json of AIPerf",
        recognised_by=("aiperf_version",),
        read=_one(aiperf.read),
    ),
    Format(
        name="guidellm",
        summary="benchmarks.json of GuideLLM",
        recognised_by=("benchmarks",),
        read=_one(guidellm.read),
    ),
    Format(
        name="llm-d",
        summary="benchmark report 0.2 of llm-d-benchmark, as YAML or JSON",
        recognised_by=("scenario", "results", "version"),
        read=lambda rows, sku: [draft for row in rows for draft in llmd.read(row, sku)],
    ),
)
NAMES = tuple(one.name for one in FORMATS)


def read_file(
    file: Path, sku: Callable[[str], str], name: str | None = None
) -> tuple[str, list[Draft], bytes]:
    """The format of a file, its measurements, and its bytes.

    Args:
        sku: the catalogue's name of an accelerator.
        name: of the format; None to recognise it.

    Raises:
        UsageError: the file cannot be read, is incomplete, or has no known format.
    """
    data = _bytes(file)
    rows, single = _parse(file, data)
    place = Place(file)
    if not rows:
        raise place.error("no rows", "the file has nothing to import")
    chosen = _named(name) if name is not None else _recognised(rows[0], place)
    if not single and not chosen.rows:
        raise place.error(
            f"expected one result of the format {chosen.name}, got {len(rows)} rows",
            f"name the format with --format: {', '.join(NAMES)}",
        )
    drafts = chosen.read(rows, sku)
    return chosen.name, drafts, data


def _bytes(file: Path) -> bytes:
    try:
        if file.stat().st_size > _LIMIT_BYTES:
            raise UsageError(f"{file}: larger than 1 GiB", hint="import the summary file")
        return file.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{file}: {error.strerror or error}", hint="name a file that exists and can be read"
        ) from None


def _parse(file: Path, data: bytes) -> tuple[list[Fields], bool]:
    """The rows of a file, and whether it is one document."""
    place = Place(file)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise place.error("not UTF-8 text", "name a CSV, JSON or YAML file") from None
    start = text.lstrip()[:1]
    if start in ("{", "["):
        return _json(text, place)
    if file.suffix.lower() in (".yaml", ".yml"):
        return _yaml(text, place)
    return _csv(text, place), False


def _json(text: str, place: Place) -> tuple[list[Fields], bool]:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise place.error(
            f"not valid JSON: line {error.lineno}, column {error.colno}: {error.msg}",
            "the file is incomplete or was edited; copy it again",
        ) from None
    except (ValueError, RecursionError):
        raise place.error(
            "not valid JSON: a number has too many digits, or the nesting is too deep",
            "the file was edited, or is of another format",
        ) from None
    if isinstance(document, dict):
        return [Fields(document, place)], True
    return _items(document, place), False


def _items(items: Sequence[Any], place: Place) -> list[Fields]:
    rows = []
    for number, item in enumerate(items, 1):
        at = attrs.evolve(place, row=number)
        if not isinstance(item, Mapping):
            raise at.error(
                f"expected an object, got {type(item).__name__}", "the file is of another format"
            )
        rows.append(Fields(item, at))
    return rows


def _yaml(text: str, place: Place) -> tuple[list[Fields], bool]:
    import yaml

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" line {mark.line + 1}:"
        problem = getattr(error, "problem", None) or "it cannot be parsed"
        raise place.error(
            f"not valid YAML:{where} {problem}",
            "the file is incomplete or was edited; copy it again",
        ) from None
    except (ValueError, RecursionError):
        raise place.error(
            "not valid YAML: an impossible number or date, or nested too deeply",
            "the file was edited, or is of another format",
        ) from None
    if not isinstance(document, Mapping):
        raise place.error("expected a mapping", "the file is of another format")
    return [Fields(document, place)], True


def _csv(text: str, place: Place) -> list[Fields]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows: list[Fields] = []
    try:
        names = reader.fieldnames or []
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise place.error(f"the column {twice!r} occurs twice", "rename one of them")
        for number, row in enumerate(reader, 1):
            at = attrs.evolve(place, row=number, line=reader.line_num)
            # DictReader's key for surplus cells, and its value for missing ones, is None.
            if None in row or None in row.values():
                got = sum(1 for value in row.values() if value is not None)
                more = len(row.get(None) or ()) - 1 if None in row else 0
                raise at.error(
                    f"expected {len(names)} cells, got {got + more}",
                    "the file is incomplete or was edited; copy it again",
                )
            rows.append(Fields(row, at, text=True))
    except csv.Error as error:
        raise place.error(
            f"not valid CSV: line {reader.reader.line_num}: {error}",
            "the file is incomplete or was edited; copy it again",
        ) from None
    return rows


def _named(name: str) -> Format:
    for one in FORMATS:
        if one.name == name:
            return one
    raise UsageError(f"unknown format {name!r}", hint=f"formats: {', '.join(NAMES)}")


def _recognised(first: Fields, place: Place) -> Format:
    for one in FORMATS:
        if all(key in first.values for key in one.recognised_by):
            return one
    known = "; ".join(f"{one.name}: {one.summary}" for one in FORMATS)
    raise place.error("a file of no known format", f"known formats: {known}")
