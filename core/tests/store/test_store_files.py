"""Atomic writes and appends, also on full disks, with limits and without permission."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tokenbench.api import MachineError, UsageError
from tokenbench.store.files import append_line, machine_error, write_atomic, write_with_room
from tokenbench.store.layout import RunDirectory
from tokenbench.store.samples import read_sample_lines


def test_write_atomic(tmp_path: Path) -> None:
    """The new content, and no draft left."""
    file = tmp_path / "a.json"
    write_atomic(file, b"old")
    write_atomic(file, b"new")
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


def test_append_removes_an_incomplete_line(tmp_path: Path) -> None:
    """Of any length, left by a crash."""
    file = tmp_path / "a.jsonl"
    append_line(file, b"one")
    with file.open("ab") as incomplete:
        incomplete.write(b"x" * 200_000)
    append_line(file, b"two")
    assert file.read_bytes() == b"one\ntwo\n"
    file.write_bytes(b"incomplete")
    append_line(file, b"three")
    assert file.read_bytes() == b"three\n"


# In a process of its own, because the limit applies to all files of a process.
_LIMITED = """
import resource, signal, sys
from pathlib import Path
from tokenbench.api import MachineError
from tokenbench.store import files
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
files.append_line(folder / "a.jsonl", b"a" * 50)
files.write_atomic(folder / "b.json", b"old")
resource.setrlimit(resource.RLIMIT_FSIZE, (80, resource.RLIM_INFINITY))
for write in (
    lambda: files.append_line(folder / "a.jsonl", b"b" * 50),
    lambda: files.write_atomic(folder / "b.json", b"c" * 100),
):
    try:
        write()
    except MachineError as error:
        sys.stdout.write(error.message.split(":")[0] + "\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
files.append_line(folder / "a.jsonl", b"c" * 3)
"""


def test_failed_write_keeps_earlier_content(tmp_path: Path) -> None:
    """A partial write is undone, and the next line follows the last complete one."""
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.split("\n")[:2] == ["the file size limit is reached"] * 2
    assert (tmp_path / "a.jsonl").read_bytes() == b"a" * 50 + b"\nccc\n"
    assert (tmp_path / "b.json").read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jsonl", "b.json"]


@contextlib.contextmanager
def _mounted(folder: Path, options: str) -> Iterator[Path]:
    """A small tmpfs; skips if this user may not mount one."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    ) if os.geteuid() == 0 else None  # fmt: skip
    if done is None or done.returncode:
        pytest.skip(f"cannot mount a tmpfs: {done.stderr.strip() if done else 'not root'}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_full_disk(tmp_path: Path) -> None:
    """The hint names the free space; no partial file or line is left."""
    with _mounted(tmp_path, "size=64k") as disk:
        append_line(disk / "a.jsonl", b"first")
        for write in (
            lambda: append_line(disk / "a.jsonl", b"b" * 100_000),
            lambda: write_atomic(disk / "b.json", b"b" * 100_000),
        ):
            with pytest.raises(MachineError, match="the disk is full") as caught:
                write()
            assert "MB free" in caught.value.hint
            assert [p.name for p in disk.iterdir()] == ["a.jsonl"]
        assert (disk / "a.jsonl").read_bytes() == b"first\n"


def test_file_with_room_can_be_written_on_a_full_disk(tmp_path: Path) -> None:
    """In place, up to the room that it has; its content is JSON before and after."""
    with _mounted(tmp_path, "size=64k") as disk:
        file = disk / "run.json"
        write_with_room(file, b"[1]\n", 8192)
        append_line(disk / "rest", b"r" * (40 * 1024))
        with contextlib.suppress(OSError), (disk / "full").open("wb", buffering=0) as full:
            while full.write(b"f" * 4096):
                pass
        long = json.dumps(["x" * 8000]).encode()
        write_with_room(file, long, 8192)
        assert json.loads(file.read_bytes()) == json.loads(long)
        with pytest.raises(MachineError, match="the disk is full"):
            write_with_room(file, json.dumps(["y" * 9000]).encode(), 8192)
        assert json.loads(file.read_bytes()) == json.loads(long)


def test_parquet_on_a_full_disk_keeps_the_raw_files(tmp_path: Path) -> None:
    """The measured data are not lost."""
    import numpy as np

    from tokenbench.load.records import ClockPair, PhaseSummary
    from tokenbench.measure.arrays import CHUNK_DTYPE, RECORD_DTYPE
    from tokenbench.store.records import write_parquet

    clock = ClockPair(wall_ns=0, monotonic_ns=0)
    summary = PhaseSummary(
        started_ns=0, dispatch_ended_ns=0, ended_ns=0, clock_start=clock, clock_end=clock,
        stopped_by="requests", turns=1,
    )  # fmt: skip
    records, chunks = np.zeros(1, RECORD_DTYPE), np.zeros(20_000, CHUNK_DTYPE)
    records["chunks"] = len(chunks)
    chunks["ns"] = np.random.default_rng(1).integers(0, 2**62, len(chunks))
    with _mounted(tmp_path, "size=64k") as disk:
        (disk / "records.bin").write_bytes(b"raw")
        with pytest.raises(MachineError, match="the disk is full"):
            write_parquet(disk, records, chunks, summary)
        assert [p.name for p in disk.iterdir()] == ["records.bin"]


def test_read_only_disk_is_a_machine_error(tmp_path: Path) -> None:
    """The hint names --runs."""
    with (
        _mounted(tmp_path, "size=64k,ro") as disk,
        pytest.raises(MachineError, match="Read-only") as caught,
    ):
        RunDirectory.create(disk, "x")
    assert "--runs" in caught.value.hint


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EFBIG, "size limit"),
        (errno.EACCES, "Permission denied"),
    ],
)
def test_message_of_each_error(tmp_path: Path, number: int, text: str) -> None:
    """With the reason, the path and a hint."""
    error = machine_error(OSError(number, os.strerror(number)), tmp_path / "f")
    assert text in error.message and str(tmp_path / "f") in error.message and error.hint


def test_run_directories_are_unique_and_empty(tmp_path: Path) -> None:
    """Two runs with the same name and time get two folders; names are made safe."""
    one, two = (RunDirectory.create(tmp_path / "runs", "a/../b c") for _ in range(2))
    assert one.path != two.path
    assert one.path.parent == two.path.parent == tmp_path / "runs"
    assert not [p for p in one.path.rglob("*") if p.is_file()]


def test_json_of_a_run_directory(tmp_path: Path) -> None:
    """Missing or incomplete documents are None; a folder without run.json is an error."""
    run = RunDirectory.create(tmp_path, "x")
    with pytest.raises(UsageError):
        RunDirectory.open(run.path)
    run.write_json("run.json", {"state": "running"})
    again = RunDirectory.open(run.path)
    assert again.id == run.id
    assert again.read_json("run.json") == {"state": "running"}
    (run.path / "plan.json").write_text('{"cut')
    assert again.read_json("plan.json") is None
    assert again.read_json("nothing.json") is None
    assert again.phase("p", "repeat-0").is_dir()


def test_samples_of_an_eval(tmp_path: Path) -> None:
    """Answers may contain any character, such as a line separator; damaged lines are left out."""
    file = tmp_path / "samples.jsonl"
    assert read_sample_lines(file) == []
    sample = {"question": "q", "answer": "one\u2028two\x85three"}
    append_line(file, json.dumps(sample, ensure_ascii=False).encode())
    with file.open("ab") as damaged:
        damaged.write(b'{"question": "\xff"}\n[1]\n{"question": "cut')
    assert read_sample_lines(file) == [sample]
