"""The layout of a run directory."""

from __future__ import annotations

import datetime as dt
import json
import secrets
from pathlib import Path
from typing import Any

from tokenbench.api import UsageError

from .files import guarded, write_atomic


class RunDirectory:
    """The folder of one run.

    ::

    run.json           state, times, error
    suite.json         the resolved suite
    plan.json          the canonical plan
    provenance.json    versions, environment and everything else that can change a number
    points/POINT/      warm-up and repeat-N: records.parquet, phase.json, counters.json
    telemetry/         samples of each host
    logs/              logs of servers, load workers and agents
    evals/             samples and outcome of each eval
    results.jsonl      one line per finished point
    results.parquet    the same as a flat table, written at the end
    reports/           output of reporters
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, base: Path, name: str) -> RunDirectory:
        """Create an empty run directory in `base`; names sort by time.

        Raises:
            MachineError: the folder cannot be created.
        """
        timestamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
        safe = "".join(c if c.isalnum() or c in "-_" else "-" for c in name)[:40] or "run"
        path = base / f"{timestamp}-{safe}-{secrets.token_hex(3)}"
        with guarded(path):
            path.mkdir(parents=True)
            for folder in ("points", "telemetry", "logs", "evals", "reports"):
                (path / folder).mkdir()
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """Open an existing run directory.

        Raises:
            UsageError: `path` is not a run directory.
        """
        if not (path / "run.json").is_file():
            raise UsageError(
                f"{path} is not a run directory", hint="a run directory contains run.json"
            )
        return cls(path)

    @property
    def id(self) -> str:
        """The run's id: the name of its folder."""
        return self.path.name

    @property
    def results(self) -> Path:
        """The file with one JSON line per finished point."""
        return self.path / "results.jsonl"

    def phase(self, point: str, phase: str) -> Path:
        """The folder of a point's phase (``warmup``, ``repeat-0``); created if missing."""
        return self._folder("points", point, phase)

    def logs(self, deployment: str) -> Path:
        """The folder of a deployment's logs; created if missing."""
        return self._folder("logs", deployment)

    def telemetry(self, deployment: str) -> Path:
        """The folder of a deployment's telemetry; created if missing."""
        return self._folder("telemetry", deployment)

    def evals(self, deployment: str, name: str) -> Path:
        """The folder of a deployment's eval; created if missing."""
        return self._folder("evals", deployment, name)

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON document of the run atomically."""
        write_atomic(self.path / name, json.dumps(value, indent=2).encode() + b"\n")

    def read_json(self, name: str) -> Any:
        """A JSON document of the run; None if it is missing or incomplete."""
        try:
            return json.loads((self.path / name).read_bytes())
        except (OSError, ValueError):
            return None

    def _folder(self, *parts: str) -> Path:
        path = self.path.joinpath(*parts)
        with guarded(path):
            path.mkdir(parents=True, exist_ok=True)
        return path


def now() -> str:
    """The current time, UTC, in ISO 8601."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
