"""Samples hardware while a deployment runs: one node agent per host, one file per plugin."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import msgspec

from tokenbench.api import BenchError, DeviceInfo, Host, PluginError, Sample
from tokenbench.guard.owner import Owner, wrong
from tokenbench.launch.node.client import AgentError, Events, NodeAgent
from tokenbench.launch.node.program import RunningProgram, to_sample

_FIRST_S = 5.0
"""How long the first sample may take, because the driver must be opened."""
_POLL_S = 0.02
_SIGNALS = 128
_MARGIN_NS = 1_000_000_000


@attrs.frozen(kw_only=True)
class Reading:
    """One sample of one device of one host. Times are those of this machine's clocks."""

    monotonic_ns: int
    wall_ns: int
    host: str
    hardware: str
    domain: str
    role: str
    sample: Sample


@attrs.frozen(kw_only=True)
class Watched:
    """The devices of one hardware plugin on one host.

    `hardware`: its name. `domain`: see :class:`tokenbench.api.HardwareSpec`. `roles`: by device,
    the role of the processes that use it.
    """

    hardware: str
    owner: Owner
    domain: str
    devices: tuple[int, ...]
    roles: Mapping[int, str] = attrs.field(factory=dict)


class _Stream:
    """The samples of one plugin on one host. Fed by the agent's thread."""

    def __init__(self, host: str, offset_ns: int, watched: Watched, file: Path) -> None:
        self.watched = watched
        self.host = host
        self.name = source_name(watched.hardware, host)
        self.began = False
        self.problem: str | None = None
        self.error: BenchError | None = None
        self.ended = False
        self.closing = False
        self.readings: list[Reading] = []
        self._offset_ns = offset_ns
        self._file = file.open("ab", buffering=0)  # A resumed run goes on.

    def take(self, message: dict[str, Any]) -> None:
        """Write a reading to the file, and keep it."""
        lines = []
        if not isinstance(message["s"], list):
            self.error = wrong(self.watched.owner, "sample()", "did not return a list")
            return
        for values in message["s"]:
            try:
                sample = to_sample(values, self.watched.owner)
            except PluginError as error:
                self.error = error
                continue
            reading = Reading(
                monotonic_ns=message["t"] + self._offset_ns,
                wall_ns=message["w"],
                host=self.host,
                hardware=self.watched.hardware,
                domain=self.watched.domain,
                role=self.watched.roles.get(sample.device, "server"),
                sample=sample,
            )
            self.readings.append(reading)
            self.began = True
            lines.append(msgspec.json.encode(row_of(reading)) + b"\n")
        try:
            self._file.write(b"".join(lines))
        except OSError as error:
            self.problem = f"its samples cannot be written: {error.strerror}"

    def end(self, code: int | None, reason: str | None) -> None:
        """The sampler ended: on request, or because it failed."""
        self.ended = True
        if self.closing:
            return
        if code is None:
            self.problem = "the node agent is gone"
        elif code > _SIGNALS:
            self.problem = f"its sampler was killed by signal {code - _SIGNALS}"
        elif code:
            self.problem = f"its sampler failed: {reason}"
            self.error = PluginError(
                f"{self.watched.owner}: its sampler failed: {reason}",
                hint="see the agent's log, and report it to the plugin's author",
            )

    def close(self) -> None:
        """Close the file, after the agent ended."""
        self._file.close()


class Telemetry:
    """The node agents of a deployment, and their samples, which are also written to `folder`.
    `devices`: those that the deployment uses, by host and hardware plugin.

    Args:
        interval_s: seconds between two readings.
    """

    def __init__(self, folder: Path, interval_s: float) -> None:
        self._folder = folder
        self._interval_s = interval_s
        self._agents: list[NodeAgent] = []
        self._streams: list[_Stream] = []
        self.devices: dict[tuple[str, str], tuple[DeviceInfo, ...]] = {}

    def agent(
        self,
        host: Host,
        channel: Callable[[Sequence[str]], Sequence[str]],
        cpus: tuple[int, ...] | None,
    ) -> NodeAgent:
        """Start the agent of a host.

        Raises:
            PluginError: it does not start.
        """
        log = self._folder / f"{file_name(host.name)}.log"
        try:
            agent = NodeAgent(
                host=host.name, channel=channel, python=host.python, log=log, cpus=cpus
            )
        except AgentError as error:
            raise PluginError(
                f"the node agent on {host.name} did not start: {error}", hint="see its log", log=log
            ) from error
        self._agents.append(agent)
        return agent

    def watch(self, agent: NodeAgent, program: RunningProgram, watched: Watched) -> None:
        """Start a sampler.

        Raises:
            PluginError: it does not start.
        """
        file = self._folder / f"{file_name(agent.host)}-{file_name(watched.hardware)}.jsonl"
        stream = _Stream(agent.host, agent.offset_ns, watched, file)
        self._streams.append(stream)
        events = Events(reading=stream.take, ended=stream.end)
        program.start(watched.devices, self._interval_s, events)

    def wait(self) -> None:
        """Wait for the first sample of each source, but not for one that hangs."""
        deadline = time.monotonic() + _FIRST_S
        while time.monotonic() < deadline and not all(s.began or s.ended for s in self._streams):
            time.sleep(_POLL_S)

    def check(self) -> None:
        """Raise the error of a plugin whose sampler failed, if one did.

        Raises:
            PluginError: a sampler failed, or returned something else than samples.
        """
        for stream in self._streams:
            if stream.error is not None:
                error = stream.error
                raise PluginError(
                    error.message,
                    hint=error.hint,
                    log=self._folder / f"{file_name(stream.host)}.log",
                )

    @property
    def sources(self) -> tuple[str, ...]:
        """The samplers that have sent a sample, as :func:`source_name` names them."""
        return tuple(stream.name for stream in self._streams if stream.began)

    @property
    def here(self) -> frozenset[str]:
        """The hosts that share their process ids with this machine."""
        return frozenset(agent.host for agent in self._agents if agent.sees_our_pids)

    @property
    def reads_power(self) -> bool:
        """Whether any source has reported power or energy."""
        return any(
            r.sample.power_w is not None or r.sample.energy_j is not None
            for s in self._streams
            for r in list(s.readings)
        )

    @property
    def problems(self) -> dict[str, str]:
        """Why samples of a source are missing. It may have sent some before."""
        found = {}
        for stream in self._streams:
            if stream.problem is not None:
                found[stream.name] = stream.problem
            elif not stream.began and not stream.ended:
                found[stream.name] = "its sampler has sent nothing"
        return found

    def readings(self, start_ns: int, end_ns: int) -> list[Reading]:
        """Readings of a window and of a second before and after it, by source, oldest first.

        Waits for the first reading after the window. Deletes readings before the window, so call it
        with windows in order of time.
        """
        self._wait_for(end_ns)
        low, high = start_ns - _MARGIN_NS, end_ns + _MARGIN_NS
        found: list[Reading] = []
        for stream in self._streams:
            kept = [r for r in list(stream.readings) if r.monotonic_ns >= low]
            found += [reading for reading in kept if reading.monotonic_ns <= high]
            del stream.readings[: max(0, len(stream.readings) - len(kept))]
        return found

    def _wait_for(self, end_ns: int) -> None:
        """Wait until each source has a reading after `end_ns`, or for two intervals."""
        deadline = time.monotonic() + 2 * self._interval_s + _POLL_S
        while time.monotonic() < deadline and any(
            s.readings and s.readings[-1].monotonic_ns < end_ns and not s.ended
            for s in self._streams
        ):
            time.sleep(_POLL_S)

    def close(self) -> None:
        """Stop the samplers and agents. May be called twice."""
        for stream in self._streams:
            stream.closing = True
        for agent in self._agents:
            agent.close()
        for stream in self._streams:
            stream.close()


def file_name(name: str) -> str:
    """A name as part of a file name: without slashes."""
    return name.replace("/", "-")


def source_name(name: str, host: str) -> str:
    """``nvidia on node1``, or ``nvidia`` if the host is this machine."""
    return name if host == "localhost" else f"{name} on {host}"


def row_of(reading: Reading) -> dict[str, Any]:
    """A reading as one flat row, without fields that were not measured."""
    sample = attrs.asdict(reading.sample)
    return {
        "t": reading.monotonic_ns,
        "w": reading.wall_ns,
        "host": reading.host,
        "hardware": reading.hardware,
        "domain": reading.domain,
        "role": reading.role,
        **{name: value for name, value in sample.items() if value is not None},
    }
