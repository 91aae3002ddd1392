"""Runs the telemetry agent during a measurement and reads its samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import msgspec

from tokenbench.api import Sample
from tokenbench.launch.process import Process, start
from tokenbench.launch.python import module_command

_CLOSE_S = 2.0


@attrs.frozen(kw_only=True)
class Reading:
    """One sample of one device of one host."""

    monotonic_ns: int
    wall_ns: int
    host: str
    role: str
    sample: Sample


class Telemetry:
    """The agent of one host, which writes its samples to `file`."""

    def __init__(
        self,
        *,
        module: str,
        name: str,
        options: dict[str, Any],
        devices: tuple[int, ...],
        folder: Path,
        host: str,
        role: str,
        cpus: tuple[int, ...] | None,
    ) -> None:
        self.file = folder / f"{host}-{name}.jsonl"
        self._host, self._role = host, role
        with self.file.open("wb") as out:
            self._process: Process = start(
                module_command(
                    "tokenbench.telemetry.agent",
                    *("--module", module, "--name", name),
                    *("--options", json.dumps(options)),
                    *("--devices", ",".join(map(str, devices))),
                ),
                cpus=cpus,
                stdin="pipe",
                stdout=out,
                log=folder / f"{host}-{name}.log",
                grace_s=2.0,
            )

    @property
    def failure(self) -> str | None:
        """How the agent ended too early, if it did."""
        code = self._process.exit_code
        if not code:  # An agent without a sampler ends with 0.
            return None
        how = f"was killed by signal {code - 128}" if code > 128 else f"ended with exit code {code}"
        return f"the telemetry agent {how}: {self._process.log_tail(1)}".rstrip(": ")

    def close(self) -> None:
        """Stop the agent, after it closed its driver. Idempotent."""
        if self._process.exit_code is None:
            self._process.close_stdin(_CLOSE_S)
        self._process.stop()

    def readings(self, start_ns: int, end_ns: int, *, margin_s: float = 1.0) -> list[Reading]:
        """Readings of a window extended by `margin_s` on both sides, oldest first."""
        margin_ns = int(margin_s * 1e9)
        readings = []
        for line in self.file.read_bytes().split(b"\n"):
            item = _decode(line)
            if item is None or not start_ns - margin_ns <= item["t"] <= end_ns + margin_ns:
                continue
            readings += [
                Reading(
                    monotonic_ns=item["t"],
                    wall_ns=item["w"],
                    host=self._host,
                    role=self._role,
                    sample=_sample(values),
                )
                for values in item["s"]
            ]
        return readings


def _decode(line: bytes) -> dict[str, Any] | None:
    """One line; None for an incomplete last one."""
    try:
        item: dict[str, Any] = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    return item


def _sample(values: dict[str, Any]) -> Sample:
    known = {field.name for field in attrs.fields(Sample)}
    fields = {key: value for key, value in values.items() if key in known}
    throttle = fields.pop("throttle", None)
    return Sample(**fields, throttle=None if throttle is None else tuple(throttle))
