"""Settings of all tests. Hypothesis has no deadline, because machines are shared; state and caches
of bench go to temporary folders. Real engines: what passed is recorded with ``--record-proofs``.
"""

from __future__ import annotations

import datetime as dt
import gc
import json
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

PROOFS = Path(__file__).resolve().parent / "docs" / "reference" / "engine-proofs.json"

settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")


@pytest.fixture(autouse=True, scope="session")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """State and caches of bench, in folders of this test run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--record-proofs``: see the marker `proves`."""
    parser.addoption(
        "--record-proofs",
        action="store_true",
        help=f"write what passed tests show of real engines to {PROOFS.name}",
    )


def pytest_collection_finish() -> None:
    """What is collected stays: a garbage collection among a million of its objects takes 0.1 s, and
    hundreds of tests cause one.
    """
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Record what a passed test shows: the version that its run's results name, the day."""
    report = yield
    if report.when == "call" and report.passed and item.config.getoption("--record-proofs"):
        for marker in item.iter_markers("proves"):
            engine, *capabilities = marker.args
            _record(engine, capabilities, item)
    return report


def _record(engine: str, capabilities: list[str], item: pytest.Item) -> None:
    proofs = json.loads(PROOFS.read_text(encoding="utf-8")) if PROOFS.exists() else {}
    test, _, _ = item.nodeid.partition("[")
    shown = {
        "version": _version(item.funcargs.get("bench")),  # type: ignore[attr-defined]
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "test": test,
    }
    proofs.setdefault(engine, {}).update(dict.fromkeys(capabilities, shown))
    text = json.dumps(proofs, indent=1, sort_keys=True)
    PROOFS.write_text(text + "\n", encoding="utf-8")


def _version(bench: Any) -> str | None:
    """The version of the engine in the results of the test's run."""
    for file in bench.folder.glob("runs/*/results.jsonl") if bench else ():
        for line in file.read_text(encoding="utf-8").splitlines():
            version: str | None = json.loads(line)["engine_version"]
            return version
    return None
