"""Runs the telemetry agent during a measurement and reads its samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import msgspec

from tokenbench.api import PluginError, Sample
from tokenbench.guard.owner import Owner
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
        owner: Owner | None = None,
    ) -> None:
        self.file = folder / f"{host}-{name}.jsonl"
        self._host, self._role = host, role
        with self.file.open("wb") as out:
            self._process: Process = start(
                module_command(
                    "tokenbench.telemetry.agent",
                    *("--module", module, "--name", name),
                    *("--options", json.dumps(options)),
                    *("--owner", json.dumps(attrs.asdict(owner) if owner else {})),
                    *("--devices", ",".join(map(str, devices))),
                ),
                cpus=cpus,
                stdin="pipe",
                stdout=out,
                log=folder / f"{host}-{name}.log",
                grace_s=2.0,
            )

    @property
    def killed(self) -> str | None:
        """The signal that killed the agent, if one did."""
        code = self._process.exit_code or 0
        return f"the telemetry agent was killed by signal {code - 128}" if code > 128 else None

    def check(self) -> None:
        """Raise the error that ended the agent, if one did.

        Raises:
            PluginError: the hardware plugin failed.
        """
        code = self._process.exit_code
        if not code or self.killed is not None:  # An agent without a sampler ends with 0.
            return
        last = (self.file.read_bytes().strip().rsplit(b"\n", 1) or [b""])[-1]
        said = _decode(last) or {}
        raise PluginError(
            said.get("error")
            or f"the telemetry agent ended with code {code}: {self._process.log_tail(1)}",
            hint=said.get("hint") or "see its log",
            log=self._process.log,
        )

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
            if (
                item is None
                or "t" not in item
                or not start_ns - margin_ns <= item["t"] <= end_ns + margin_ns
            ):
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
