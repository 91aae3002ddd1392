"""Launching: plans, amendments, allocations, deployments.

A plan contains symbols for values that are known only at launch. So it is pure, can be hashed for
identity, and can be bound by a launcher that learns hosts and ports late:

======================== =====================================================================
``{host}``               address that this replica binds to
``{port:http}``          port ``http`` of this replica
``{decode.0.host}``      host of replica 0 of role ``decode``
``{decode.0.port:http}`` its port
``{weights}``            local path (or hub name) of the model weights
``{cpus}``               number of CPU cores of this process
``{devices}``            devices of this process, comma-separated (see DeviceInfo.handle)
``{scratch}``            a folder for this process only, removed after the run
``{file:NAME}``          path of the :class:`FileSpec` with that name
``{secret:NAME}``        environment variable NAME; allowed in `environment` only, never in argv
======================== =====================================================================

Any other brace is literal (JSON values need no escaping).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from .access import Access
from .frozen import FrozenMap
from .topology import SERVER

Scalar = str | int | float | bool
FlagValue = Scalar | None | tuple[Scalar, ...]
"""True: the flag alone. False or None: no flag. A tuple: the flag once, then all values."""


def _flags(value: Mapping[str, FlagValue]) -> FrozenMap[FlagValue]:
    return value if isinstance(value, FrozenMap) else FrozenMap(value)


def _env(value: Mapping[str, str]) -> FrozenMap[str]:
    return value if isinstance(value, FrozenMap) else FrozenMap(value)


@attrs.frozen(kw_only=True)
class FileSpec:
    """A file that core writes before a process starts (a config, a chat template).

    `content` is written verbatim: symbols in it are not bound. `name` has no folder.
    """

    name: str
    content: str


@attrs.frozen(kw_only=True)
class ProcessSpec:
    """One process of a deployment, with unbound symbols.

    `argv` is the program and its fixed arguments. `flags` is an ordered mapping that is rendered
    after `argv`, so that layers can merge and explain each flag. The value of a flag is text or a
    number (the flag, then the value), True (the flag alone), False or None (no flag; removes one
    that an earlier layer set), or a tuple (the flag once, then each value). `ports` names the ports
    it needs. `accelerators` is the number per replica. `mounts` (host paths) and `devices` (device
    nodes) are for launchers that isolate processes, `image` for those that run containers.
    """

    role: str = SERVER
    argv: tuple[str, ...]
    flags: FrozenMap[FlagValue] = attrs.field(default=FrozenMap(), converter=_flags)
    environment: FrozenMap[str] = attrs.field(default=FrozenMap(), converter=_env)
    files: tuple[FileSpec, ...] = ()
    ports: tuple[str, ...] = ("http",)
    replicas: int = 1
    accelerators: int = 0
    image: str | None = None
    mounts: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class EndpointSpec:
    """Where a role listens. `url` may contain symbols, or be literal for a running server."""

    role: str = SERVER
    url: str = "http://{server.0.host}:{server.0.port:http}"
    metrics_path: str | None = "/metrics"


@attrs.frozen(kw_only=True)
class LaunchPlan:
    """The processes an engine wants started, and the endpoints for load and metrics.

    Without processes the server is already running. The first endpoint receives the load.
    `start_timeout_s` limits the time from start to the first generated token. `served_name` is the
    model name in requests; None: the name of the engine request. `api_key_env` is the NAME of the
    environment variable with the API key, if requests need one, or ``keyring:SERVICE/USER``.
    `access`: how requests reach the server, beyond the endpoint's URL.
    """

    processes: tuple[ProcessSpec, ...] = ()
    endpoints: tuple[EndpointSpec, ...] = (EndpointSpec(),)
    start_timeout_s: float = 600.0
    served_name: str | None = None
    api_key_env: str | None = None
    access: Access = Access()


@attrs.frozen(kw_only=True)
class Amendment:
    """A change to a launch plan by another plugin, with its reason.

    `flags`, `environment` and `files` are by role, flags with values as in a
    :class:`ProcessSpec`; `mounts` and `devices` go to every process; `processes` are added. Core
    rejects contradicting amendments and names both plugins.
    """

    reason: str
    flags: FrozenMap[FrozenMap[FlagValue]] = FrozenMap()
    environment: FrozenMap[FrozenMap[str]] = FrozenMap()
    files: FrozenMap[tuple[FileSpec, ...]] = FrozenMap()
    processes: tuple[ProcessSpec, ...] = ()
    mounts: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Resources:
    """What a deployment needs from a launcher. `client`: also a host to run the load from."""

    processes: tuple[ProcessSpec, ...]
    accelerator_sku: str | None = None
    duration_s: float | None = None
    client: bool = False

    @property
    def accelerators(self) -> int:
        """Accelerators of all replicas of all processes."""
        return sum(process.accelerators * process.replicas for process in self.processes)


@attrs.frozen(kw_only=True)
class Host:
    """A machine as the launcher names it, with the CPU cores and devices that may be used.

    `devices` are handles (see DeviceInfo.handle).
    """

    name: str
    address: str
    cpus: tuple[int, ...] = ()
    devices: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Placement:
    """Where one replica runs. Complete when allocated, except that on a cluster the ports may be
    known only once it runs.

    `devices` are the handles of its accelerators.
    """

    role: str
    index: int
    host: Host
    ports: FrozenMap[int] = FrozenMap()
    devices: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Allocation:
    """The hosts and devices that a launcher granted. `deadline_s`: seconds until it revokes them,
    None without a limit.
    """

    id: str
    hosts: tuple[Host, ...]
    placements: tuple[Placement, ...] = ()
    deadline_s: float | None = None


@attrs.frozen(kw_only=True)
class Endpoint:
    """A bound endpoint of a running deployment. `index` is the replica's number within its role."""

    role: str
    index: int
    url: str
    metrics_url: str | None = None


@attrs.frozen(kw_only=True)
class ProcessState:
    """The state of one process. `exit_code` is None while it runs."""

    role: str
    index: int
    host: str
    pid: int | None
    exit_code: int | None = None


@attrs.frozen(kw_only=True)
class CommandResult:
    """The result of a command that :meth:`Launcher.run_on` ran."""

    exit_code: int
    stdout: str
    stderr: str


@attrs.frozen(kw_only=True)
class LauncherContext:
    """What core gives a launcher besides its options.

    `logs`: a folder on this machine for the log of each process, ``ROLE-INDEX.log``. `weights`: the
    value of ``{weights}`` on this machine, a path or a hub name; a launcher whose processes run
    elsewhere copies the file there and binds that path. `port`: the first port if the user asked
    for one, None for any free port. `cpus` and `devices`: what servers may use, for launchers that
    run them on this machine.
    """

    logs: Path
    weights: str | None = None
    port: int | None = None
    cpus: tuple[int, ...] = ()
    devices: tuple[str, ...] = ()


class Deployment(ABC):
    """A running deployment, owned by its launcher."""

    id: str

    @property
    @abstractmethod
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The bound endpoints; empty until they are known."""

    @abstractmethod
    def status(self) -> Sequence[ProcessState]:
        """The state of every process. Must not block for long."""

    @abstractmethod
    def logs(self, role: str, *, lines: int = 200) -> str:
        """The last lines of the log of a role's processes."""

    @abstractmethod
    def cancel(self) -> None:
        """Stop all processes and release the allocation. May be called twice."""


class Launcher(ABC):
    """Starts processes somewhere. Core has the local launcher; others are plugins."""

    @abstractmethod
    def allocate(self, resources: Resources) -> Allocation:
        """Reserve hosts and devices.

        Raises:
            HardwareAbsent: the requested resources do not exist.
        """

    @abstractmethod
    def start(self, plan: LaunchPlan, allocation: Allocation) -> Deployment:
        """Bind the plan's symbols and start its processes."""

    @abstractmethod
    def run_on(self, host: str, argv: Sequence[str], *, timeout_s: float) -> CommandResult:
        """Run a short command on a host of the allocation.

        Raises:
            EngineError: the command exceeded `timeout_s`.
        """

    @abstractmethod
    def put(self, host: str, local: Path, remote: str) -> None:
        """Copy a file to a host."""

    @abstractmethod
    def get(self, host: str, remote: str, local: Path) -> None:
        """Copy a file from a host."""

    @abstractmethod
    def attach(self, id: str) -> Deployment:
        """Find a running deployment again after the command line crashed.

        Raises:
            EngineError: the deployment no longer exists.
        """
