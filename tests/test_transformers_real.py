"""Real ``transformers serve`` on CPU: lengths by its own usage, and the true cause of failures.

``make real-transformers`` installs it and ``make test-transformers`` runs these tests. They need
the environment in TRANSFORMERS_VENV, and are skipped without.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from lost_server import MOMENTS, lose
from processes import marked

if TYPE_CHECKING:
    from tests_bench import Bench, Done

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ROOT / "plugins/engines/transformers/src/tokenbench_engine_transformers/flags.json"
pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
_LIMIT_S = 800.0
_REQUESTS = 8
_N_IN, _N_OUT = 40, 12
# The server's processes: bench's supervisor has the same words in its command line.
_SERVER = "transformers.cli.transformers"


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of a real transformers."""
    folder = os.environ.get("TRANSFORMERS_VENV")
    if not folder:
        pytest.skip("TRANSFORMERS_VENV names no environment: make real-transformers")
    found = Path(folder).absolute() / "bin" / "python"
    assert found.exists(), f"no interpreter in TRANSFORMERS_VENV={folder}"
    return found


def _models(python: Path) -> Path:
    return python.parent.parent / "models"


def _suite(
    python: Path,
    model: str = "tiny-weights",
    *,
    options: dict[str, Any] | None = None,
    load: dict[str, Any] | None = None,
    **deployment: Any,
) -> dict[str, Any]:
    own = {"python": str(python), "cpu_threads": 1, **(options or {})}
    return {
        "version": 1,
        "seed": 7,
        "deployments": [
            {
                "engine": {"transformers": own},
                "model": {"hf": {"path": str(_models(python) / model)}},
                **deployment,
            }
        ],
        "workloads": [{"random": {"input_tokens": _N_IN, "output_tokens": _N_OUT}}],
        "load": {"concurrency": [2], "requests": _REQUESTS, "repeats": 1, **(load or {})},
        "reporters": ["files"],
    }


def _write(bench: Bench, suite: dict[str, Any]) -> None:
    (bench.folder / "suite.yaml").write_text(yaml.safe_dump(suite))


def _run(bench: Bench, suite: dict[str, Any]) -> Done:
    _write(bench, suite)
    return bench("run", "suite.yaml", "--allow-invalid", timeout_s=_LIMIT_S)


def _result(bench: Bench, done: Done) -> dict[str, Any]:
    assert done.code == 0, done.err
    (result,) = map(json.loads, (bench.run_directory / "results.jsonl").read_text().splitlines())
    assert result["state"] == "done", done.err
    return dict(result)


def _check(result: dict[str, Any], name: str) -> tuple[str, str]:
    (found,) = (check for check in result["checks"] if check["name"] == name)
    return found["outcome"], found["evidence"]


def _exact(result: dict[str, Any]) -> None:
    """Every answer has the asked length, by the server's usage; what needs counters is open."""
    assert result["metrics"]["input_tokens"]["mean"] == _REQUESTS * _N_IN
    assert result["metrics"]["output_tokens"]["mean"] == _REQUESTS * _N_OUT
    outcome, evidence = _check(result, "lengths")
    assert outcome == "ok" and evidence.startswith("100.0 % of 8 responses"), evidence
    assert _check(result, "failures")[0] == "ok"
    assert _check(result, "server agreement") == ("not assessed", "the engine has no counters")
    assert _check(result, "prefix cache")[0] == "not assessed"
    assert result["engine_version"] == "transformers 5.23.0"


def test_the_flags_are_those_of_this_transformers(bench: Bench, python: Path) -> None:
    """The plugin's file, written by the tool with this version, is what the tool writes again."""
    done = subprocess.run(
        [str(python), str(ROOT / "tools" / "capture_transformers_flags.py")],
        capture_output=True,
        text=True,
        timeout=300,
        env=bench.environment(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_UPDATE_CHECK="1"),
        check=True,
    )
    found, stored = json.loads(done.stdout), json.loads(FLAGS.read_text())
    if found["version"] != stored["version"]:
        pytest.skip(f"this is {found['version']}, the file is of {stored['version']}")
    for one in (found, stored):
        del one["date"]
    assert found == stored


@pytest.mark.proves("transformers", "server", "cpu", "bf16", "prefix_caching_off")
def test_one_after_the_other(bench: Bench, python: Path) -> None:
    """SmolLM2 would end most answers early; with the field of the server's own, none does."""
    suite = _suite(python, "smollm2-135m", options={"cpu_threads": 2})
    _exact(_result(bench, _run(bench, suite)))
    assert bench.all_gone(), bench.left_running()


def test_continuous_batching(bench: Bench, python: Path) -> None:
    """Requests are served together, and the lengths hold there, too."""
    suite = _suite(python, options={"continuous_batching": True}, load={"prefix_caching": True})
    _exact(_result(bench, _run(bench, suite)))
    (log,) = bench.run_directory.glob("logs/*/server-0.log")
    assert "CB: True" in log.read_text()
    assert bench.all_gone(), bench.left_running()


@pytest.mark.parametrize(
    ("change", "cause", "hint"),
    [
        (
            {"flags": {"--no-such-flag": 1}},
            "this version of transformers does not know the argument --no-such-flag",
            "transformers serve --help",
        ),
        (
            {"model": {"hf": {"path": "damaged"}}},
            "is damaged: Error while deserializing header",
            "download it again",
        ),
        # Core finds it before the server is started.
        ({"port": 0}, "is in use by", "omit the port"),
    ],
    ids=["bad-flag", "damaged", "port-taken"],
)
def test_a_start_that_fails(
    bench: Bench, python: Path, change: dict[str, Any], cause: str, hint: str
) -> None:
    """The cause is shown in two lines, and nothing is left."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        suite = _suite(python)
        if "port" in change:
            change = {"port": taken.getsockname()[1]}
        if "model" in change:
            change = {"model": {"hf": {"path": str(_damaged(bench.folder, python))}}}
        suite["deployments"][0] |= change
        done = _run(bench, suite)
    assert done.code == 5, done.err
    error, tip = done.complaint
    assert cause in error and hint in tip, done.err
    assert bench.all_gone(), bench.left_running()


def _damaged(folder: Path, python: Path) -> Path:
    """The model with a file of weights that was cut."""
    made = folder / "damaged"
    made.mkdir()
    for file in (_models(python) / "tiny-weights").iterdir():
        data = file.read_bytes()
        cut = file.suffix == ".safetensors"
        (made / file.name).write_bytes(data[: len(data) // 2] if cut else data)
    return made


def test_a_model_that_is_not_there(bench: Bench, python: Path) -> None:
    """Refused before anything starts."""
    done = _run(bench, _suite(python, "no-such-model"))
    assert done.code in (2, 5), done.err
    error, _ = done.complaint
    assert "no-such-model" in error
    assert bench.all_gone(), bench.left_running()


def _server(bench: Bench) -> int | None:
    """The process of the server, not that of its supervisor."""
    # python -m transformers.cli.transformers serve ...
    return next(
        (pid for pid, words in marked(bench.mark).items() if words[1:3] == ["-m", _SERVER]), None
    )


@MOMENTS
def test_a_server_is_lost(
    bench: Bench, python: Path, moment: str, number: signal.Signals, says: str
) -> None:
    """At each phase: no result, the cause in two lines, and nothing is left."""
    lose(
        bench,
        _suite(python, load={"requests": 2000, "request_timeout_s": 60}),
        find=lambda: _server(bench),
        moment=moment,
        loads="[transformers] Loading",
        number=number,
        says=says,
    )
