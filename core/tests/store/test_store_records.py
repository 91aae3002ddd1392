"""Records: raw files to Parquet and back, also after a crash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenbench.api import MachineError, UsageError
from tokenbench.load.records import ABSENT, SESSION, PhaseSummary, SessionStatus, label_number
from tokenbench.measure.arrays import CHUNK_DTYPE, RECORD_DTYPE, Rows
from tokenbench.store import files
from tokenbench.store import records as store
from tokenbench.store.records import read_parquet, read_raw, read_records, write_parquet

Raw = Callable[..., tuple[Path, Rows, Rows]]

RAW = ("records.bin", "timestamps.bin", "counts.bin")


def _chunks_of(records: Rows, chunks: Rows) -> list[list[tuple[int, int]]]:
    """The chunks of each turn, independent of their order in the file."""
    return [
        [tuple(c) for c in chunks[r["chunk_offset"] : r["chunk_offset"] + r["chunks"]].tolist()]
        for r in records
    ]


def _same(left: Rows, right: Rows) -> None:
    for name in RECORD_DTYPE.names or ():
        if name != "chunk_offset":
            np.testing.assert_array_equal(left[name], right[name], err_msg=name)


def test_round_trip(raw: Raw, summary: PhaseSummary) -> None:
    """Every field, the chunks of every turn and the summary; the raw files are removed."""
    folder, records, chunks = raw()
    file = write_parquet(folder, *read_raw(folder), summary)
    assert sorted(p.name for p in folder.iterdir()) == ["phase.json", "records.parquet"]
    again, chunks_again, summary_again = read_parquet(file)
    _same(records, again)
    assert _chunks_of(again, chunks_again) == _chunks_of(records, chunks)
    assert summary_again == summary


def test_labels_are_text_in_parquet(raw: Raw, summary: PhaseSummary) -> None:
    """The number of a label means something only together with the summary."""
    import pyarrow.parquet as pq

    folder, *data = raw()
    assert pq.read_table(write_parquet(folder, *data, summary))["label"].to_pylist() == [
        "chat",
        None,
        None,
    ]


def test_files_without_the_newer_columns_are_read(raw: Raw, summary: PhaseSummary) -> None:
    """Their values are "not recorded", which for a time or a label is -1."""
    import pyarrow.parquet as pq

    folder, *data = raw()
    file = write_parquet(folder, *data, summary)
    table = pq.read_table(file)
    pq.write_table(table.drop_columns(["label", "answer_ns", "agent"]), file)
    again = read_parquet(file)[0]
    assert [set(again[name].tolist()) for name in ("label", "answer_ns", "agent")] == [
        {ABSENT},
        {ABSENT},
        {0},
    ]


def test_sessions_of_several_workers_round_trip(raw: Raw, summary: PhaseSummary) -> None:
    """Of a worker without one there is no file."""
    folder, *data = raw()
    rows = [SESSION.pack(n, n % 2, SessionStatus.FAILED, 3, 1, 2, 10, 30, 5) for n in (0, 2, 3)]
    (folder / "sessions.bin").write_bytes(rows[0] + rows[1])
    (folder / "sessions.2.bin").write_bytes(rows[2][:-1])  # A crash left half a row.
    before = store.read_sessions(folder)
    write_parquet(folder, *data, summary)
    assert sorted(p.name for p in folder.iterdir()) == [
        "phase.json",
        "records.parquet",
        "sessions.parquet",
    ]
    after = store.read_sessions(folder)
    np.testing.assert_array_equal(before, after)
    assert after["session"].tolist() == [0, 2]


def test_absent_values_are_null(raw: Raw, summary: PhaseSummary) -> None:
    """-1 means "not measured" in the raw files only."""
    import pyarrow.parquet as pq

    folder, *data = raw()
    table = pq.read_table(write_parquet(folder, *data, summary))
    assert table["n_out"].to_pylist() == [2, None, 4]
    assert table["sent_first_ns"].to_pylist() == [5, None, 7]
    assert table["chunk_tokens"].to_pylist() == [[None, 1], [], [1, 2, 1]]
    assert table["chunk_ns"].to_pylist() == [[50, 60], [], [70, 80, 90]]
    assert table["n_cached"].null_count == 3
    assert table["status"].null_count == 0


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_records_round_trip(
    tmp_path_factory: pytest.TempPathFactory, summary: PhaseSummary, data: Any
) -> None:
    """Random turns, chunks and values; also no turn."""
    counts = data.draw(st.lists(st.integers(0, 4), max_size=6))
    numbers = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    records = np.zeros(len(counts), RECORD_DTYPE)
    for name in RECORD_DTYPE.names or ():
        limits = np.iinfo(RECORD_DTYPE[name])
        low = max(limits.min, -1)
        records[name] = numbers.integers(low, limits.max, len(counts), RECORD_DTYPE[name])
    records["label"] = numbers.choice([label_number("chat"), label_number("code"), -1], len(counts))
    records["chunks"] = counts
    records["chunk_offset"] = np.cumsum([0, *counts])[:-1]
    chunks = np.zeros(sum(counts), CHUNK_DTYPE)
    chunks["ns"] = numbers.integers(0, 2**62, len(chunks))
    chunks["tokens"] = numbers.integers(-1, 9, len(chunks))
    folder = tmp_path_factory.mktemp("phase")
    again, chunks_again, _ = read_parquet(write_parquet(folder, records, chunks, summary))
    _same(records, again)
    np.testing.assert_array_equal(chunks, chunks_again)


def test_reading_raw_and_parquet_files(raw: Raw, summary: PhaseSummary) -> None:
    """Before and after the conversion, and if a crash left both."""
    folder, records, chunks = raw()
    before = read_records(folder)
    bins = {name: (folder / name).read_bytes() for name in RAW}
    write_parquet(folder, records, chunks, summary)
    after = read_records(folder)
    for name, content in bins.items():
        (folder / name).write_bytes(content)
    both = read_records(folder)
    for found in (before, after, both):
        _same(found[0], records)
        assert _chunks_of(found[0], found[1]) == _chunks_of(records, chunks)
        assert found[2] == summary


def test_crash_during_the_conversion_keeps_the_raw_files(
    raw: Raw, summary: PhaseSummary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no partial Parquet file."""
    folder, records, chunks = raw()

    class PowerCut(BaseException):
        pass

    def cut(*_: object) -> None:
        raise PowerCut

    monkeypatch.setattr(store, "replace_durably", cut)
    with pytest.raises(PowerCut):
        write_parquet(folder, records, chunks, summary)
    names = sorted(p.name for p in folder.iterdir())
    assert names == sorted(["phase.json", *RAW])
    _same(read_records(folder)[0], records)


def test_parquet_file_is_synced_before_the_raw_files_are_removed(
    raw: Raw, summary: PhaseSummary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A renamed file that was not synced may be empty after a power failure."""
    folder, records, chunks = raw()
    synced: list[tuple[str, bool]] = []
    sync = files._sync

    def record(path: Path) -> None:
        synced.append((path.name, (folder / "records.bin").exists()))
        sync(path)

    monkeypatch.setattr(files, "_sync", record)
    write_parquet(folder, records, chunks, summary)
    assert synced == [(".records.parquet", True), ("repeat-0", True)]


def test_incomplete_records_are_dropped(raw: Raw) -> None:
    """An incomplete row, or one without all of its chunks."""
    folder, *_ = raw()
    data = (folder / "records.bin").read_bytes()
    (folder / "records.bin").write_bytes(data[:-7])
    assert list(read_raw(folder)[0]["session"]) == [0, 1]
    (folder / "records.bin").write_bytes(data)
    counts = (folder / "counts.bin").read_bytes()
    (folder / "counts.bin").write_bytes(counts[:-3])
    kept, _ = read_raw(folder)
    # The chunks of turn 0 are rows 3 and 4, and row 4 is incomplete.
    assert list(kept["session"]) == [1, 2]


def test_missing_file_is_named(tmp_path: Path, raw: Raw) -> None:
    """Of a phase that was interrupted."""
    folder, *_ = raw()
    (folder / "phase.json").unlink()
    with pytest.raises(UsageError, match=r"phase\.json is missing"):
        read_records(folder)
    with pytest.raises(UsageError, match="missing"):
        read_records(tmp_path / "nowhere")


def test_other_schema_is_refused(raw: Raw, summary: PhaseSummary) -> None:
    """With both versions and a hint."""
    import pyarrow.parquet as pq

    folder, *data = raw()
    file = write_parquet(folder, *data, summary)
    table = pq.read_table(file)
    metadata = {**table.schema.metadata, b"tokenbench.schema": b"records 2"}
    pq.write_table(table.replace_schema_metadata(metadata), file)
    with pytest.raises(UsageError, match="records 2") as caught:
        read_parquet(file)
    assert "newer" in caught.value.hint


def test_failed_rename_is_a_machine_error(raw: Raw, summary: PhaseSummary) -> None:
    """The target is a folder: the draft is removed, the raw files stay."""
    folder, records, chunks = raw()
    (folder / "records.parquet").mkdir()
    with pytest.raises(MachineError) as caught:
        write_parquet(folder, records, chunks, summary)
    assert str(folder / "records.parquet") in caught.value.message
    assert (folder / "records.bin").exists() and not (folder / ".records.parquet").exists()
