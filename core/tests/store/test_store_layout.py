"""The folders of a run."""

from __future__ import annotations

from pathlib import Path

from tokenbench.store.layout import RunDirectory


def test_a_phase_begins_in_an_empty_folder(tmp_path: Path) -> None:
    """Sessions of an interrupted attempt would be counted with the records of the next one."""
    run = RunDirectory(tmp_path)
    (run.phase("p", "repeat-0") / "sessions.parquet").write_bytes(b"of the first attempt")
    (run.phase("p", "repeat-1") / "records.parquet").write_bytes(b"kept")
    assert list(run.new_phase("p", "repeat-0").iterdir()) == []
    assert (run.phase("p", "repeat-1") / "records.parquet").exists()
