"""`bench calibrate` as a user runs it."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests_bench import wait_for

from tokenbench.store import calibration

ROOT = Path(__file__).resolve().parent.parent
COMPILED = any(map(shutil.which, ("cc", "gcc", "clang")))


def test_two_levels_end_to_end(bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The JSON output is the saved calibration; scratch files are deleted."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = bench("calibrate", "--quick", "--concurrency", "1,4", "--json")
    assert done.code == 0, done.err
    data = json.loads(done.out)
    assert [step["concurrency"] for step in data["steps"]] == [1, 4]
    for step in data["steps"]:
        assert step["errors"]["requests"] >= 12
        assert step["errors"]["unmatched"] == step["failed"] == 0
        assert step["errors"]["ttft"]["p99"] >= step["errors"]["ttft"]["p50"] > 0
    assert calibration.saved() == data
    assert "calibration.ttft_error_mean_s.4" in calibration.facts()
    assert not list(tmp_path.glob("tokenbench-calibrate-*"))


@pytest.mark.skipif(not COMPILED, reason="no C compiler")
def test_reference_server_in_c(bench, tmp_path: Path) -> None:
    """The server of benchmarks/ writes the same ground truth as the one in Python."""
    build = ROOT / "benchmarks" / "build.py"
    subprocess.run([sys.executable, str(build), str(tmp_path)], check=True, capture_output=True)
    options = ["--quick", "--concurrency", "8", "--json", "--server", str(tmp_path / "server")]
    done = bench("calibrate", *options, XDG_STATE_HOME=str(tmp_path / "state"))
    assert done.code == 0, done.err
    data = json.loads(done.out)
    (step,) = data["steps"]
    assert data["server"] == "server"
    assert step["errors"]["unmatched"] == step["failed"] == 0
    # No token is sent before it is due. On a busy machine it is less than a second late.
    assert 0 <= step["errors"]["lateness"]["p50"] < 1
    assert bench("calibrate", "--server", "/nowhere").code == 2


def test_table(bench, tmp_path: Path) -> None:
    """One row per level and the certified envelope; progress on standard error."""
    state = str(tmp_path / "state")
    done = bench("calibrate", "--seconds", "0.3", "--concurrency", "8", XDG_STATE_HOME=state)
    assert done.code == 0, done.err
    assert "TTFT ms" in done.out
    assert "certified envelope: " in done.out
    assert "path: 8" in done.out
    assert "concurrency 8: TTFT error mean" in done.err


def test_ctrl_c(bench, tmp_path: Path) -> None:
    """Exit code 130; no file is saved; no process and no scratch folder is left."""
    state = tmp_path / "state"
    process = bench.start("calibrate", "--quick", XDG_STATE_HOME=str(state), TMPDIR=str(tmp_path))
    wait_for(process, "concurrency 1:", 60)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "error: the calibration was interrupted" in err
    assert bench.all_gone()
    assert not state.exists()
    assert not list(tmp_path.glob("tokenbench-calibrate-*"))


def test_kill_9(bench, tmp_path: Path) -> None:
    """Server and load workers end as well."""
    state = str(tmp_path / "state")
    process = bench.start("calibrate", "--quick", XDG_STATE_HOME=state, TMPDIR=str(tmp_path))
    wait_for(process, "concurrency 1:", 60)
    process.kill()
    process.communicate(timeout=30)
    assert bench.all_gone()


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("--concurrency", "0"), "0 is not between 1 and"),
        (("--concurrency", "many"), "expected integers, got 'many'"),
        (("--concurrency", "4,4"), "has a duplicate"),
        (("--concurrency", "99999999"), "is not between"),
        (("--cpus", "4095"), "core 4095 is not available"),
        (("--cpus", "-1"), "-1 is not between"),
        (("--seconds", "0"), "not in the range"),
        (("--seconds", "nan"), "not a finite number"),
        (("more",), "unexpected extra argument"),
    ],
)
def test_invalid_arguments(cli, args: tuple[str, ...], text: str) -> None:
    """Exit code 2; nothing is started."""
    done = cli("calibrate", *args)
    assert done.code == 2
    assert text in done.complaint[0]
