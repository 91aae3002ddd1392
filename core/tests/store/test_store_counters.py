"""``counters.parquet``."""

from __future__ import annotations

from pathlib import Path

import attrs
import pyarrow.parquet as pq

from tokenbench.api import Counters, FrozenMap, Histogram
from tokenbench.store.counters import COUNTERS_SCHEMA, CountersRow, write_counters

TIMES = Histogram(sum=9.0, count=4.0)


def test_a_row_for_each_process_and_scrape(tmp_path: Path) -> None:
    """Times as sum and count, a column for each reason and position, null for what is missing."""
    rows = [
        CountersRow(t_ns=5, role="prefill", index=0, counters=Counters(prompt_tokens=7.0)),
        CountersRow(
            t_ns=5,
            role="decode",
            index=1,
            counters=Counters(
                generated_tokens=3.0,
                accepted_by_position=(18.0, 14.0),
                finished=FrozenMap({"stop": 0.0, "length": 2.0}),
                queue_time_s=TIMES,
            ),
        ),
        CountersRow(t_ns=2**62, role=None, index=None, counters=Counters(kv_usage=0.5)),
    ]
    file = write_counters(tmp_path, rows)
    assert file == tmp_path / "counters.parquet"
    table = pq.read_table(file)
    assert table.schema.metadata[b"tokenbench.schema"].decode() == COUNTERS_SCHEMA
    columns = table.to_pydict()
    assert columns["t"] == [5, 5, 2**62]
    assert columns["role"] == ["prefill", "decode", None]
    assert columns["index"] == [0, 1, None]
    assert columns["prompt_tokens"] == [7.0, None, None]
    assert columns["accepted_by_position.0"] == [None, 18.0, None]
    assert columns["accepted_by_position.1"] == [None, 14.0, None]
    assert columns["finished.stop"] == [None, 0.0, None]
    assert columns["queue_time_s.sum"] == [None, 9.0, None]
    assert columns["queue_time_s.count"] == [None, 4.0, None]
    assert columns["kv_usage"] == [None, None, 0.5]
    several = {"finished", "accepted_by_position", "queue_time_s"}
    for field in attrs.fields(Counters):
        found = [name for name in columns if name.partition(".")[0] == field.name]
        assert found or field.name in several, field.name


def test_nothing_without_counters(tmp_path: Path) -> None:
    """No file, no draft of one."""
    assert write_counters(tmp_path, []) is None
    assert not list(tmp_path.iterdir())
