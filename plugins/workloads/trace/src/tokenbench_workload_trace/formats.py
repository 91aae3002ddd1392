"""Readers of trace files, whose formats are described by their publishers (read 2026-11).

* Mooncake (kvcache-ai/Mooncake, FAST25-release): JSON lines with ``timestamp`` (ms),
  ``input_length``, ``output_length`` and ``hash_ids``, one for each 512 tokens.
* Azure (Azure/AzurePublicDataset, 2023 and 2024): CSV with ``TIMESTAMP``, ``ContextTokens``,
  ``GeneratedTokens``.
* BurstGPT (HPMLL/BurstGPT at e92f533, 2026-02-02, its README): CSV with ``Timestamp`` (s), since
  v1.2 ``Session ID`` (of conversations) and ``Elapsed time`` (s), then ``Model``, ``Request
  tokens``, ``Response tokens``, ``Total tokens``, ``Log Type``. Nothing says which part of a prompt
  repeats an earlier one, so each row is a request by itself, at its time.
* Weka (callanjfox/kv-cache-tester): JSON, one session each, see :mod:`.weka`.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tokenbench.api import UsageError

from .requests import Trace, TraceRequest, TraceSession
from .weka import weka_sessions

WEKA_BLOCK = 64
MOONCAKE_BLOCK = 512


def read_trace(files: tuple[Path, ...], form: str, join: str = "recorded") -> Trace:
    """All sessions of all files, in the order of time.

    Args:
        join: which request waits for a sub-agent, see :func:`.weka.weka_sessions`.

    Raises:
        UsageError: a file cannot be read, or is of another format.
    """
    sessions: list[TraceSession] = []
    blocks = set()
    for file in files:
        found = detect(file) if form == "auto" else form
        blocks.add(WEKA_BLOCK if found == "weka" else MOONCAKE_BLOCK)
        try:
            sessions += _weka(file, join) if found == "weka" else _READERS[found](file)
        except (KeyError, TypeError, ValueError, csv.Error) as error:
            reason = f"{type(error).__name__}: {error}"
            raise UsageError(
                f"trace: {file} is not a trace of the format {found}: {reason}",
                hint="name the right format, or repair the file",
            ) from None
    if len(blocks) > 1:
        raise UsageError(
            "trace: the files have different block sizes", hint="measure each in a run of its own"
        )
    sessions.sort(key=lambda session: session.at_s)
    return Trace(block_tokens=blocks.pop(), sessions=tuple(sessions))


def detect(file: Path) -> str:
    """The format of a file, by its first line.

    Raises:
        UsageError: it is none of the known ones.
    """
    try:
        with file.open(encoding="utf-8") as lines:
            first = next((line for line in lines if line.strip()), "")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"trace: cannot read {file}: {error}", hint="check the path") from None
    columns = {name.strip() for name in first.split(",")}
    if {"ContextTokens", "GeneratedTokens"} <= columns:
        return "azure"
    if {"Request tokens", "Response tokens"} <= columns:
        return "burstgpt"
    if '"input_length"' in first:
        return "mooncake"
    if first.lstrip().startswith(("{", "[")):
        return "weka"
    raise UsageError(
        f"trace: {file} has no known format",
        hint="name the format: mooncake, azure, burstgpt, weka",
    )


def _single(at_s: float, n_in: int, n_out: int, **more: Any) -> TraceSession:
    if n_in < 1 or n_out < 0:
        raise ValueError(f"a request of {n_in} and {n_out} tokens")
    return TraceSession(at_s=at_s, requests=(TraceRequest(n_in=n_in, n_out=n_out, **more),))


def _mooncake(file: Path) -> Iterator[TraceSession]:
    for row in json_rows(file):
        yield _single(
            row["timestamp"] / 1e3,
            int(row["input_length"]),
            int(row["output_length"]),
            blocks=tuple(row["hash_ids"]),
        )


def _azure(file: Path) -> Iterator[TraceSession]:
    for row in _csv_rows(file):
        # Seven digits of a second: more than datetime keeps.
        moment, _, zone = row["TIMESTAMP"].partition("+")
        whole, _, digits = moment.partition(".")
        at = dt.datetime.fromisoformat(whole).replace(tzinfo=dt.UTC)
        at_s = at.timestamp() + float(f"0.{digits or 0}")
        if zone not in ("", "00:00"):
            raise ValueError(f"a time zone: {row['TIMESTAMP']}")
        yield _single(at_s, int(row["ContextTokens"]), int(row["GeneratedTokens"]))


def _burstgpt(file: Path) -> Iterator[TraceSession]:
    for row in _csv_rows(file):
        yield _single(
            float(row["Timestamp"]),
            int(row["Request tokens"]),
            int(row["Response tokens"]),
            label=row.get("Log Type") or None,
        )


def _weka(file: Path, join: str) -> Iterator[TraceSession]:
    for row in json_rows(file):
        if row.get("block_size", WEKA_BLOCK) != WEKA_BLOCK:
            raise ValueError(f"blocks of {row['block_size']} tokens")
        yield weka_sessions(row, join)


def json_rows(file: Path) -> Iterator[Any]:
    """The objects of JSON lines, of a JSON array, or the one object of a JSON file.

    Raises:
        ValueError: it is not JSON.
    """
    with file.open(encoding="utf-8") as lines:
        start = lines.read(1)
        lines.seek(0)
        if start == "[":
            yield from json.load(lines)
            return
        first = lines.readline()
        try:
            row = json.loads(first)
        except ValueError:
            yield json.loads(first + lines.read())  # One object over several lines.
            return
        yield row
        for line in lines:
            if line.strip():
                yield json.loads(line)


def _csv_rows(file: Path) -> Iterator[dict[str, str]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        for row in csv.DictReader(lines):
            yield {name.strip(): value for name, value in row.items()}


_READERS: dict[str, Callable[[Path], Iterator[TraceSession]]] = {
    "mooncake": _mooncake,
    "azure": _azure,
    "burstgpt": _burstgpt,
}
