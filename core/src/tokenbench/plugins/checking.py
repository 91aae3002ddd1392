"""Each candidate imported in a process of its own: a crash, a hang or a print is a row too.

``python -m tokenbench.plugins.checking DIST KIND NAME`` checks one and says JSON.
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

from .discovery import CORE, Candidate
from .registry import PluginRegistry
from .state import Broken, Loaded, Outcome

_TIMEOUT_S = 20.0


def check_all(candidates: Iterable[Candidate]) -> dict[Candidate, Outcome]:
    """The outcome of every candidate; those whose distribution has not changed come from a cache.

    A distribution installed for development has no lasting record and is never cached.
    """
    wanted = list(candidates)
    cache = _Cache()
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        found = dict(zip(wanted, pool.map(cache.outcome, wanted), strict=True))
    cache.save()
    return {c: _settle(c, outcome, wanted) for c, outcome in found.items()}


def _settle(candidate: Candidate, outcome: Outcome, others: list[Candidate]) -> Outcome:
    """A sound plugin whose name another distribution offers too cannot be named plainly."""
    same = [
        c.distribution
        for c in others
        if (c.kind, c.name) == (candidate.kind, candidate.name) and c != candidate
    ]
    if isinstance(outcome, Broken) or not same:
        return outcome
    return Broken(
        stage="duplicate",
        message=f"{' and '.join(same)} offers {candidate.name!r} too",
        hint=f"name it {candidate.key}",
    )


class _Cache:
    """Outcomes by what could change them: the records of the plugin and of the core."""

    def __init__(self) -> None:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self._file = folder / "tokenbench" / "plugins.json"
        self._core = _record(CORE)
        try:
            self._known: dict[str, Any] = json.loads(self._file.read_text())
        except (OSError, ValueError):
            self._known = {}
        self._used: dict[str, Any] = {}

    def outcome(self, candidate: Candidate) -> Outcome:
        """From the cache, or found now."""
        key = self._key(candidate)
        if key is not None and key in self._known:
            self._used[key] = self._known[key]
            return _decode(self._known[key])
        said = _in_child(candidate)
        if key is not None and "stage" not in said:
            # What was wrong may have been something else's fault: it is asked again.
            self._used[key] = said
        return _decode(said)

    def _key(self, candidate: Candidate) -> str | None:
        record = _record(candidate.distribution)
        if record is None or self._core is None:
            return None
        parts = (self._core, record, candidate.kind, candidate.name, sys.version)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def save(self) -> None:
        """Keep what was used; a folder that cannot be written is no reason to fail."""
        if self._used == self._known:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            self._file.write_text(json.dumps(self._used))
        except OSError:
            pass


def _record(distribution: str) -> str | None:
    """The list of an installed distribution's files with their hashes; None where it may change
    without notice.
    """
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


def _in_child(candidate: Candidate) -> dict[str, Any]:
    """What a process of its own says of it."""
    command = [sys.executable, "-m", __name__]
    command += [candidate.distribution, candidate.kind, candidate.name]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return _broken(f"it cannot be imported: {error}")
        try:
            code = child.wait(_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return _broken(f"its import did not end within {_TIMEOUT_S:g} s")
        finally:
            # What the import has started goes with it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        out.seek(0)
        err.seek(0)
        answer, complaint = out.read(), err.read().decode(errors="replace")
    if code != 0 or not answer:
        last = (complaint.strip().splitlines() or ["nothing was said"])[-1]
        return _broken(f"its import ended the process with code {code}: {last}")
    said: dict[str, Any] = json.loads(answer)
    return said


def _broken(message: str) -> dict[str, Any]:
    return {"stage": "import", "message": message, "hint": "reinstall the plugin", "log": None}


def _decode(said: dict[str, Any]) -> Outcome:
    if "stage" not in said:
        return Loaded(capabilities=said["capabilities"], deprecated=tuple(said["deprecated"]))
    log = said["log"]
    return Broken(**{**said, "log": Path(log) if log else None})


def main(distribution: str, kind: str, name: str) -> None:
    """Check one candidate. Standard output is ours; what the plugin prints goes elsewhere."""
    channel = os.dup(1)
    os.dup2(2, 1)
    registry = PluginRegistry()
    outcome = registry.check(registry.candidate(kind, f"{distribution}/{name}"))
    os.write(channel, json.dumps(attrs.asdict(outcome), default=str).encode())
    os._exit(0)  # threads that the plugin has started are not waited for


if __name__ == "__main__":
    main(*sys.argv[1:])
