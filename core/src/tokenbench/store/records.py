"""Records on disk: a load worker's raw files, Parquet files, and arrays read from either."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tokenbench.api import UsageError
from tokenbench.load.records import ABSENT, PhaseSummary, label_number
from tokenbench.measure.arrays import CHUNK_DTYPE, RECORD_DTYPE, SESSION_DTYPE, Rows

from .arrow import number_array, value_array
from .files import guarded, replace_durably

RECORD_SCHEMA_VERSION = 1
_ROW_GROUP = 1024
_SCHEMA = f"records {RECORD_SCHEMA_VERSION}"
_NEVER_ABSENT = frozenset(
    {
        *("session", "turn", "worker", "status", "reused", "exact_output", "token_source"),
        *("agent", "finish", "tool_calls", "reasoning_chunks"),
    }
)

# Columns that files of earlier releases lack, with the value for "not recorded".
_ADDED = {
    **dict.fromkeys(("retries", "agent", "finish", "tool_calls", "reasoning_chunks"), 0),
    **dict.fromkeys(("label", "asked_shared", "answer_ns"), ABSENT),
}


def read_phase(folder: Path) -> PhaseSummary:
    """The summary of a phase."""
    return msgspec.json.decode((folder / "phase.json").read_bytes(), type=PhaseSummary)


def read_raw(folder: Path) -> tuple[Rows, Rows]:
    """Records and chunks from the raw files of all load workers, concatenated.

    Incomplete rows and records without all their chunks, as a crash leaves them, are dropped.
    """
    all_records, all_chunks, offset = [], [], 0
    for file in raw_files(folder, "records"):
        records = _rows(file, RECORD_DTYPE)
        chunks = _chunks(file)
        records = records[records["chunk_offset"] + records["chunks"] <= len(chunks)]
        records["chunk_offset"] += offset
        offset += len(chunks)
        all_records.append(records)
        all_chunks.append(chunks)
    if len(all_records) == 1:
        return all_records[0], all_chunks[0]
    return np.concatenate(all_records), np.concatenate(all_chunks)


def read_sessions(folder: Path) -> Rows:
    """Records of sessions with several requests, from Parquet or the raw files."""
    parquet = folder / "sessions.parquet"
    if not parquet.is_file():
        parts = [_rows(file, SESSION_DTYPE) for file in raw_files(folder, "sessions")]
        return np.concatenate(parts) if parts else np.zeros(0, SESSION_DTYPE)
    import pyarrow.parquet as pq

    table = pq.read_table(parquet)
    rows: Rows = np.zeros(table.num_rows, SESSION_DTYPE)
    for name in SESSION_DTYPE.names or ():
        rows[name] = table[name].to_numpy()
    return rows


def _chunks(records: Path) -> Rows:
    """Chunks from the two column files beside a worker's records, up to the shorter one."""
    timestamps = _rows(
        records.with_name(records.name.replace("records", "timestamps")), np.dtype("<i8")
    )
    counts = _rows(records.with_name(records.name.replace("records", "counts")), np.dtype("<i4"))
    chunks = np.zeros(min(len(timestamps), len(counts)), CHUNK_DTYPE)
    chunks["ns"], chunks["tokens"] = timestamps[: len(chunks)], counts[: len(chunks)]
    return chunks


def raw_files(folder: Path, name: str) -> list[Path]:
    """Raw files of all load workers. The first worker's is listed even if it is missing, unless
    workers may have none (sessions).
    """
    first = folder / f"{name}.bin"
    missing = name == "sessions" and not first.exists()
    return [*([] if missing else [first]), *sorted(folder.glob(f"{name}.[0-9]*.bin"))]


def read_records(folder: Path) -> tuple[Rows, Rows, PhaseSummary]:
    """Records, chunks and summary of a phase, from its Parquet file or its raw files.

    Raises:
        UsageError: a file is missing, or of an unsupported schema.
    """
    parquet = folder / "records.parquet"
    try:
        if parquet.is_file():
            return read_parquet(parquet)
        return *read_raw(folder), read_phase(folder)
    except FileNotFoundError as error:
        raise UsageError(
            f"incomplete records in {folder}: {Path(error.filename or '?').name} is missing",
            hint="the phase was interrupted; measure the point again",
        ) from error


def _rows(file: Path, dtype: Any) -> Rows:
    data = file.read_bytes()
    rows: Rows = np.frombuffer(data[: len(data) - len(data) % dtype.itemsize], dtype)
    return rows


def write_parquet(folder: Path, records: Rows, chunks: Rows, summary: PhaseSummary) -> Path:
    """Write ``records.parquet``, and ``sessions.parquet`` if sessions were recorded; remove the raw
    files that they replace.

    Columns are those of ``RECORD_FIELDS`` (null if absent; labels as text) and two lists per turn:
    `chunk_ns` (arrival of each token-bearing chunk) and `chunk_tokens`. The file's metadata has the
    phase's summary.

    Raises:
        MachineError: the file cannot be written; the raw files stay.
    """
    import pyarrow.parquet as pq

    target = folder / "records.parquet"
    draft = folder / ".records.parquet"
    with guarded(target):
        try:
            tables = _tables(records, chunks, summary)
            first = next(tables)
            # Timestamps rarely repeat, so dictionaries would only cost memory and space.
            options = {"compression": "zstd", "use_dictionary": False}
            with pq.ParquetWriter(draft, first.schema, **options) as writer:
                writer.write_table(first)
                for table in tables:
                    writer.write_table(table)
            replace_durably(draft, target)
            _write_sessions(folder)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        for name in ("records", "timestamps", "counts", "sessions"):
            for file in raw_files(folder, name):
                file.unlink(missing_ok=True)
    return target


def _write_sessions(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = read_sessions(folder)
    if not len(rows):
        return
    draft = folder / ".sessions.parquet"
    columns = {name: number_array(rows[name]) for name in SESSION_DTYPE.names or ()}
    pq.write_table(pa.table(columns), draft, compression="zstd")
    replace_durably(draft, folder / "sessions.parquet")


def _label_array(numbers: Any, labels: tuple[str, ...]) -> Any:
    """The names of labels by their numbers, null where a turn has none."""
    names = {label_number(label): label for label in labels}
    return value_array([names.get(int(number)) for number in numbers], "string")


def _tables(records: Rows, chunks: Rows, summary: PhaseSummary) -> Iterator[Any]:
    """The rows as Arrow tables of limited size, so that memory does not grow with their number."""
    import pyarrow as pa

    metadata = {"tokenbench.schema": _SCHEMA, "tokenbench.phase": msgspec.json.encode(summary)}
    for start in range(0, max(1, len(records)), _ROW_GROUP):
        rows = records[start : start + _ROW_GROUP]
        columns = {
            name: number_array(rows[name], absent=None if name in _NEVER_ABSENT else ABSENT)
            for name in RECORD_DTYPE.names or ()
            if name not in ("chunk_offset", "label")
        }
        columns["label"] = _label_array(rows["label"], summary.labels)
        offsets, order = _chunk_order(rows, chunks)
        ordered = chunks[order]
        at, tokens = number_array(offsets), number_array(ordered["tokens"], absent=ABSENT)
        columns["chunk_ns"] = pa.ListArray.from_arrays(at, number_array(ordered["ns"]))
        columns["chunk_tokens"] = pa.ListArray.from_arrays(at, tokens)
        yield pa.table(columns).replace_schema_metadata(metadata)


def _chunk_order(records: Rows, chunks: Rows) -> tuple[Any, Any]:
    """List offsets by turn, and the chunks' indices in the order of the turns."""
    counts = records["chunks"].astype(np.int64)
    starts = records["chunk_offset"].astype(np.int64)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    total = int(offsets[-1])
    order = np.arange(total) - np.repeat(offsets[:-1], counts) + np.repeat(starts, counts)
    if total and int(order.max()) >= len(chunks):
        raise ValueError("a record refers to chunks beyond the end of the chunks")
    return offsets, order


def read_parquet(file: Path) -> tuple[Rows, Rows, PhaseSummary]:
    """Records, chunks and summary of a ``records.parquet``.

    Chunks are in the order of the records.

    Raises:
        UsageError: the schema is not supported.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    metadata = table.schema.metadata or {}
    schema = metadata.get(b"tokenbench.schema", b"unknown").decode()
    if schema != _SCHEMA:
        raise UsageError(
            f"{file}: unsupported schema {schema!r}; this version of bench reads {_SCHEMA!r}",
            hint="use the version of bench that wrote the file, or a newer one",
        )
    summary = msgspec.json.decode(metadata[b"tokenbench.phase"], type=PhaseSummary)
    records = np.zeros(table.num_rows, RECORD_DTYPE)
    for name in RECORD_DTYPE.names or ():
        if name == "chunk_offset":
            continue
        if name in _ADDED and name not in table.column_names:
            records[name] = _ADDED[name]
            continue
        if name == "label":
            records[name] = [label_number(label) for label in table[name].to_pylist()]
            continue
        column = table[name].fill_null(ABSENT) if name not in _NEVER_ABSENT else table[name]
        records[name] = column.to_numpy()
    lists = table["chunk_ns"].combine_chunks()
    records["chunk_offset"] = lists.offsets.to_numpy()[:-1]
    chunks = np.zeros(len(lists.values), CHUNK_DTYPE)
    chunks["ns"] = lists.values.to_numpy()
    tokens = table["chunk_tokens"].combine_chunks().values
    chunks["tokens"] = tokens.fill_null(ABSENT).to_numpy()
    return records, chunks, summary
