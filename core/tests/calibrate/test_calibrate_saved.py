"""The saved calibration is valid on the machine that made it and on no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tokenbench.calibrate.outcome import plain, save
from tokenbench.calibrate.search import Search
from tokenbench.calibrate.step import Traffic
from tokenbench.load.cores import CONCURRENCY_PER_WORKER, Cores
from tokenbench.store import calibration

from .test_calibrate_search import _step


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A saved calibration of the levels 1 and 256."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    envelope = Search(_step, lambda: False).run_list((1, 256))
    cores = Cores(engine=(0,), workers=(1,))
    return save(plain(envelope, Traffic(), cores, 0.0))


def test_facts(file: Path) -> None:
    """Date, envelope, and the errors of each level in seconds, all as strings."""
    facts = calibration.facts()
    assert facts["calibration.envelope_concurrency"] == "256"
    assert facts["calibration.ended_by"] == "list"
    assert facts["calibration.ttft_error_mean_s.256"] == "0.000100000"
    assert facts["calibration.e2e_error_p99_s.1"] == "0.000100000"
    assert facts["calibration.date"].endswith("Z")
    assert all(isinstance(value, str) for value in facts.values())


@pytest.mark.parametrize("fact", ["cpu", "cores", "python", "bench", "request path"])
def test_ignored_on_another_machine(file: Path, fact: str) -> None:
    """Every fact of the machine must match."""
    data = json.loads(file.read_text())
    data["machine"][fact] = "another"
    file.write_text(json.dumps(data))
    assert calibration.saved() is None
    assert calibration.facts() == {}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 0}', None])
def test_unreadable_file_is_ignored(file: Path, text: str | None) -> None:
    """A run must not fail because of a missing, damaged or newer file."""
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    assert calibration.saved() is None
    assert calibration.facts() == {}


@pytest.mark.parametrize(
    ("concurrency", "load_workers", "ended_by", "expected"),
    [
        (600, 2, "client", 300),
        (600, 2, "server", CONCURRENCY_PER_WORKER),
        (2 * CONCURRENCY_PER_WORKER + 2, 2, "server", CONCURRENCY_PER_WORKER + 1),
        (None, None, "client", CONCURRENCY_PER_WORKER),
    ],
)
def test_concurrency_per_worker(
    file: Path, concurrency: int | None, load_workers: int | None, ended_by: str, expected: int
) -> None:
    """That of the envelope; if the client did not end it, at least the default."""
    data = json.loads(file.read_text())
    data["envelope"] |= {
        "concurrency": concurrency,
        "load_workers": load_workers,
        "ended_by": ended_by,
    }
    file.write_text(json.dumps(data))
    assert calibration.concurrency_per_worker() == expected
    file.unlink()
    assert calibration.concurrency_per_worker() == CONCURRENCY_PER_WORKER


def test_incomplete_file_gives_no_facts(file: Path) -> None:
    """An edited file gives no facts instead of some of them."""
    data = json.loads(file.read_text())
    del data["steps"][0]["errors"]
    file.write_text(json.dumps(data))
    assert calibration.facts() == {}
