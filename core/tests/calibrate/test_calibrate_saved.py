"""The saved calibration: read back on this machine, and on no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tokenbench.calibrate.outcome import plain, save
from tokenbench.calibrate.search import Search
from tokenbench.calibrate.step import Cores, Traffic
from tokenbench.store import calibration

from .test_calibrate_search import _step


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A saved calibration of the levels 1 and 256."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    envelope = Search(_step, lambda: False).of_list((1, 256))
    cores = Cores(server=0, client=(1,), shared=False)
    return save(plain(envelope, Traffic(), cores, 0.0))


def test_it_is_read_back_as_flat_facts(file: Path) -> None:
    """Date, envelope, and the errors of each level, in seconds."""
    facts = calibration.facts()
    assert facts["calibration.envelope_streams"] == "256"
    assert facts["calibration.ended_by"] == "list"
    assert facts["calibration.ttft_error_mean_s.256"] == "0.000100000"
    assert facts["calibration.e2e_error_p99_s.1"] == "0.000100000"
    assert facts["calibration.date"].endswith("Z")
    assert all(isinstance(value, str) for value in facts.values())


@pytest.mark.parametrize("fact", ["cpu", "cores", "python", "bench"])
def test_another_machine_has_none(file: Path, fact: str) -> None:
    """Each fact of the machine must be the same."""
    data = json.loads(file.read_text())
    data["machine"][fact] = "another"
    file.write_text(json.dumps(data))
    assert calibration.saved() is None
    assert calibration.facts() == {}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2}', None])
def test_an_unreadable_file_is_none(file: Path, text: str | None) -> None:
    """Whatever stands there, a run must not fail of it."""
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    assert calibration.saved() is None
    assert calibration.facts() == {}


def test_half_of_one_gives_no_facts(file: Path) -> None:
    """A file that someone edited."""
    data = json.loads(file.read_text())
    del data["steps"][0]["errors"]
    file.write_text(json.dumps(data))
    assert calibration.facts() == {}
