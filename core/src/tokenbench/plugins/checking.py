"""Loads each candidate in a separate process: a crash, a hang or output is reported like any error.

``python -m tokenbench.plugins.checking DIST KIND NAME`` checks one and prints JSON.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs

from tokenbench.launch.python import module_command, module_environment
from tokenbench.paths import cache_folder

from .discovery import CORE, Candidate
from .registry import PluginRegistry
from .state import Broken, Loaded, Outcome

_TIMEOUT_S = 20.0


def check_all(candidates: Iterable[Candidate]) -> dict[Candidate, Outcome]:
    """The outcome of every candidate, from a cache if its distribution has not changed.

    Editable installs have no reliable record and are never cached.
    """
    wanted = list(candidates)
    cache = _Cache()
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        found = dict(zip(wanted, pool.map(cache.outcome, wanted), strict=True))
    cache.save()
    return {c: _mark_duplicate(c, outcome, wanted) for c, outcome in found.items()}


def _mark_duplicate(candidate: Candidate, outcome: Outcome, others: list[Candidate]) -> Outcome:
    """A plugin whose name another distribution registers too needs its full name."""
    same = [
        c.distribution
        for c in others
        if (c.kind, c.name) == (candidate.kind, candidate.name) and c != candidate
    ]
    if isinstance(outcome, Broken) or not same:
        return outcome
    return Broken(
        stage="duplicate",
        message=f"{candidate.name!r} is also registered by {' and '.join(same)}",
        hint=f"use the full name {candidate.key}",
    )


class _Cache:
    """Outcomes, keyed by the installed files of the plugin's and core's distributions."""

    def __init__(self) -> None:
        self._core = _record(CORE)
        try:
            self._cached: dict[str, Any] = json.loads(_cache_file().read_text(encoding="utf-8"))
        except (OSError, ValueError, RuntimeError):
            self._cached = {}
        self._used: dict[str, Any] = {}

    def outcome(self, candidate: Candidate) -> Outcome:
        """The cached outcome, or the result of a new check."""
        key = self._key(candidate)
        if key is not None and key in self._cached:
            self._used[key] = self._cached[key]
            return _decode(self._cached[key])
        result = _check_in_subprocess(candidate)
        # A failure may have a cause outside the plugin, so failures are not cached.
        if key is not None and "stage" not in result:
            self._used[key] = result
        return _decode(result)

    def _key(self, candidate: Candidate) -> str | None:
        record = _record(candidate.distribution)
        if record is None or self._core is None:
            return None
        parts = (self._core, record, candidate.kind, candidate.name, sys.version)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def save(self) -> None:
        """Keep the entries used. An unwritable cache folder is ignored."""
        if self._used == self._cached:
            return
        try:
            file = _cache_file()
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(self._used), encoding="utf-8")
        except (OSError, RuntimeError):
            pass


def _cache_file() -> Path:
    """Raises RuntimeError where the user has no home folder."""
    return cache_folder() / "plugins.json"


def _record(distribution: str) -> str | None:
    """The distribution's list of files and hashes; None if its files may change unnoticed."""
    try:
        dist = importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    try:
        origin = json.loads(dist.read_text("direct_url.json") or "{}")
        if origin.get("dir_info", {}).get("editable"):
            return None
    except (ValueError, AttributeError):
        return None
    return dist.read_text("RECORD")


def _check_in_subprocess(candidate: Candidate) -> dict[str, Any]:
    command = module_command(__name__, candidate.distribution, candidate.kind, candidate.name)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            child = subprocess.Popen(
                command,
                env=module_environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return _broken(f"could not start a process to import it: {error}")
        try:
            code = child.wait(_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return _broken(f"its import did not finish within {_TIMEOUT_S:g} s")
        finally:
            # Also ends processes that the import has started.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        out.seek(0)
        err.seek(0)
        answer, stderr = out.read(), err.read().decode(errors="replace")
    if code != 0 or not answer:
        last = (stderr.strip().splitlines() or ["no output on stderr"])[-1]
        return _broken(f"its import ended the process with code {code}: {last}")
    result: dict[str, Any] = json.loads(answer)
    return result


def _broken(message: str) -> dict[str, Any]:
    return {"stage": "import", "message": message, "hint": "reinstall the plugin", "log": None}


def _decode(result: dict[str, Any]) -> Outcome:
    if "stage" not in result:
        return Loaded(capabilities=result["capabilities"], deprecated=tuple(result["deprecated"]))
    log = result["log"]
    return Broken(**{**result, "log": Path(log) if log else None})


def main(distribution: str, kind: str, name: str) -> None:
    """Check one candidate. Stdout carries only the result; the plugin's output goes to stderr."""
    channel = os.dup(1)
    os.dup2(2, 1)
    registry = PluginRegistry()
    outcome = registry.check(registry.candidate(kind, f"{distribution}/{name}"))
    os.write(channel, json.dumps(attrs.asdict(outcome), default=str).encode())
    os._exit(0)  # without waiting for threads that the plugin has started


if __name__ == "__main__":
    main(*sys.argv[1:])
