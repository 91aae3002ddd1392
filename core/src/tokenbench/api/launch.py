"""From an engine's knowledge to running processes: plans, amendments, allocations, deployments.

Plans hold SYMBOLS instead of facts that are known only at launch, so that a plan is pure, can be
hashed for identity, and can be bound by a launcher that learns hosts and ports late:

======================== =====================================================================
``{host}``               address that this process's own replica binds to
``{port:http}``          its own port named ``http``
``{decode.0.host}``      host of replica 0 of role ``decode``
``{decode.0.port:http}`` its port
``{weights}``            local path (or hub name) of the model weights
``{cpus}``               number of CPU cores given to this process
``{devices}``            the devices given to this process, comma-separated (see DeviceInfo.handle)
``{scratch}``            a folder of this process's own, removed after the run
``{file:NAME}``          path of the :class:`FileSpec` called NAME
``{secret:NAME}``        environment variable NAME; allowed in environment only, never in argv
======================== =====================================================================

Any other brace is literal (JSON values need no escaping).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from .frozen import FrozenMap
from .topology import SERVER

Scalar = str | int | float | bool
FlagValue = Scalar | None | tuple[Scalar, ...]
"""True: the bare flag. False or None: left out. A tuple: the flag once, then all values."""


def _flags(value: Mapping[str, FlagValue]) -> FrozenMap[FlagValue]:
    return value if isinstance(value, FrozenMap) else FrozenMap(value)


def _env(value: Mapping[str, str]) -> FrozenMap[str]:
    return value if isinstance(value, FrozenMap) else FrozenMap(value)


@attrs.frozen(kw_only=True)
class FileSpec:
    """A file that core writes before a process starts (a config, a chat template).

    `content` is written as it stands: symbols in it are not bound. `name` has no folder in it.
    """

    name: str
    content: str


@attrs.frozen(kw_only=True)
class ProcessSpec:
    """One process of a deployment, symbols unbound.

    `argv` is the program and its fixed arguments; `flags` is an ordered mapping rendered after it,
    last of all, so that layers can merge and explain each flag. `ports` names the ports it needs.
    `accelerators` counts those of one replica. `mounts` (host paths) and `devices` (device nodes)
    matter to launchers that confine processes, `image` to those that run containers.
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
    """Where a role answers. `url` may hold symbols, or be literal for a server already up."""

    role: str = SERVER
    url: str = "http://{server.0.host}:{server.0.port:http}"
    metrics_path: str | None = "/metrics"


@attrs.frozen(kw_only=True)
class LaunchPlan:
    """What an engine wants started, and where load and scrapes go.

    No processes means that the server is already up. The first endpoint takes the load.
    `start_timeout_s` limits the time from start to the first generated token. `served_name` is the
    model name that requests must carry, None for the one of the engine request. `api_key_env` is
    the NAME of the environment variable that holds the key requests must carry, if they must.
    """

    processes: tuple[ProcessSpec, ...] = ()
    endpoints: tuple[EndpointSpec, ...] = (EndpointSpec(),)
    start_timeout_s: float = 600.0
    served_name: str | None = None
    api_key_env: str | None = None


@attrs.frozen(kw_only=True)
class Amendment:
    """A change that another plugin asks of a launch plan, always with its reason.

    `flags`, `environment` and `files` are by role; `mounts` and `devices` go to every process;
    `processes` are added. A contradiction between two amendments is refused by core, naming both.
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
    """What a deployment needs of a launcher. `client` asks for a place to run the load from."""

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
    """One replica's place: known when allocated, or (ports, on a cluster) only once it runs.

    `devices` are the handles of the accelerators given to it.
    """

    role: str
    index: int
    host: Host
    ports: FrozenMap[int] = FrozenMap()
    devices: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Allocation:
    """What a launcher gave. `deadline_s` is the time left until it takes it back, if it does."""

    id: str
    hosts: tuple[Host, ...]
    placements: tuple[Placement, ...] = ()
    deadline_s: float | None = None


@attrs.frozen(kw_only=True)
class Endpoint:
    """A bound endpoint of a running deployment. `index` counts replicas of a role."""

    role: str
    index: int
    url: str
    metrics_url: str | None = None


@attrs.frozen(kw_only=True)
class ProcessState:
    """What became of one process. `exit_code` is None while it runs."""

    role: str
    index: int
    host: str
    pid: int | None
    exit_code: int | None = None


@attrs.frozen(kw_only=True)
class Finished:
    """A command that ran to its end on a host."""

    exit_code: int
    stdout: str
    stderr: str


@attrs.frozen(kw_only=True)
class LauncherContext:
    """What core gives a launcher besides its options.

    `logs`: a folder of this machine; the log of each process belongs there as ``ROLE-INDEX.log``.
    `weights`: what ``{weights}`` stands for on this machine, a path or a hub name; a launcher whose
    processes run elsewhere brings the file to them and binds its path there. `port`: the first port
    that the user asked for, None for any free one. `cpus` and `devices`: what servers may use of
    this machine, for launchers that use this machine.
    """

    logs: Path
    weights: str | None = None
    port: int | None = None
    cpus: tuple[int, ...] = ()
    devices: tuple[str, ...] = ()


class Deployment(ABC):
    """A running deployment in a launcher's hands."""

    id: str

    @property
    @abstractmethod
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The bound endpoints; empty until they are known."""

    @abstractmethod
    def status(self) -> Sequence[ProcessState]:
        """The state of every process; never blocks for long."""

    @abstractmethod
    def logs(self, role: str, *, lines: int = 200) -> str:
        """The last lines of the log of a role's processes."""

    @abstractmethod
    def cancel(self) -> None:
        """Stop everything and give the allocation back. May be called twice."""


class Launcher(ABC):
    """Starts processes somewhere. The local one is the core's; others are plugins."""

    @abstractmethod
    def allocate(self, resources: Resources) -> Allocation:
        """Get hosts and devices.

        Raises:
            HardwareAbsent: what is asked for is not there.
        """

    @abstractmethod
    def start(self, plan: LaunchPlan, allocation: Allocation) -> Deployment:
        """Bind symbols and start the plan's processes."""

    @abstractmethod
    def run_on(self, host: str, argv: Sequence[str], *, timeout_s: float) -> Finished:
        """Run a short command on a host of the allocation."""

    @abstractmethod
    def put(self, host: str, local: Path, remote: str) -> None:
        """Copy a file to a host."""

    @abstractmethod
    def get(self, host: str, remote: str, local: Path) -> None:
        """Copy a file from a host."""

    @abstractmethod
    def attach(self, id: str) -> Deployment:
        """Find a deployment again after a crash of the command line.

        Raises:
            EngineError: it is gone.
        """
