"""Where everything of a run lies."""

from __future__ import annotations

import datetime as dt
import json
import secrets
from pathlib import Path
from typing import Any

from tokenbench.api import UsageError

from .files import guarded, write_atomic


class RunDirectory:
    """One run's folder.

    ::

    run.json           state, times, error: what became of the run
    suite.json         the suite as resolved
    plan.json          the canonical plan
    provenance.json    what can change a number
    points/POINT/      warm-up and repeat-N: records.parquet, phase.json, counters.json
    telemetry/         samples of each host, as they came
    logs/              of servers, load workers, agents
    evals/             samples and outcome of each eval
    results.jsonl      one result a line, as they are finished
    results.parquet    the same, flat, at the end
    reports/           what reporters wrote
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, base: Path, name: str) -> RunDirectory:
        """A new, empty folder below `base`; its name sorts by time.

        Raises:
            MachineError: it cannot be made.
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
        """An existing run.

        Raises:
            UsageError: there is no run at `path`.
        """
        if not (path / "run.json").is_file():
            raise UsageError(f"{path} is no run directory", hint="it must hold a run.json")
        return cls(path)

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def results(self) -> Path:
        """One JSON line a finished point."""
        return self.path / "results.jsonl"

    def phase(self, point: str, phase: str) -> Path:
        """The folder of a point's phase (``warmup``, ``repeat-0``), made if it is not there."""
        return self._folder("points", point, phase)

    def logs(self, deployment: str) -> Path:
        """The folder for a deployment's logs."""
        return self._folder("logs", deployment)

    def telemetry(self, deployment: str) -> Path:
        """The folder for a deployment's telemetry."""
        return self._folder("telemetry", deployment)

    def evals(self, deployment: str, name: str) -> Path:
        """The folder of an eval."""
        return self._folder("evals", deployment, name)

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON document of the run, whole or not at all."""
        write_atomic(self.path / name, json.dumps(value, indent=2).encode() + b"\n")

    def read_json(self, name: str) -> Any:
        """A JSON document of the run; None where it is missing or was cut."""
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
    """This moment, UTC, ISO 8601."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
