"""The layout of a run directory."""

from __future__ import annotations

import datetime as dt
import errno
import json
import secrets
import shutil
from pathlib import Path
from typing import Any

from tokenbench.api import UsageError

from .files import guarded, machine_error, write_atomic, write_with_room

_STATE_BYTES = 16 * 1024


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
            UsageError: the name of `base` is not valid UTF-8; files that contain file names need
                that.
        """
        timestamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
        if not is_utf8(str(base)):
            raise UsageError(
                f"the name of the runs folder is not valid UTF-8: {str(base)!r}",
                hint="choose another folder with --runs",
            )
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

    def new_phase(self, point: str, phase: str) -> Path:
        """The same, empty: what an interrupted attempt left there is deleted."""
        folder = self.phase(point, phase)
        with guarded(folder):
            shutil.rmtree(folder)
        return self.phase(point, phase)

    def logs(self, deployment: str) -> Path:
        """The folder of a deployment's logs; created if missing."""
        return self._folder("logs", deployment)

    def telemetry(self, deployment: str) -> Path:
        """The folder of a deployment's telemetry; created if missing."""
        return self._folder("telemetry", deployment)

    def evals(self, deployment: str, name: str) -> Path:
        """The folder of a deployment's eval; created if missing."""
        return self._folder("evals", deployment, name)

    def check(self) -> None:
        """Raise if the folder was deleted, because later files would be incomplete without the
        rest.

        Raises:
            MachineError: it was.
        """
        plan = self.path / "plan.json"
        if not plan.is_file():
            raise machine_error(FileNotFoundError(errno.ENOENT, "deleted", str(plan)), plan)

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON document of the run atomically."""
        write_atomic(self.path / name, json.dumps(value, indent=2).encode() + b"\n")

    def write_state(self, value: Any) -> None:
        """Write ``run.json``, which must be possible at the end even if the disk is full."""
        with guarded(self.path):
            self.path.mkdir(parents=True, exist_ok=True)  # The folder may have been deleted.
        data = json.dumps(value, indent=2).encode() + b"\n"
        write_with_room(self.path / "run.json", data, _STATE_BYTES)

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


def is_utf8(text: str) -> bool:
    """Whether a text, or the bytes of a path, is valid UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def now() -> str:
    """The current time, UTC, in ISO 8601."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
