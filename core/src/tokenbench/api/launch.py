"""Launching: plans, amendments, allocations, deployments.

A plan contains symbols for values that are known only at launch. So it is pure, can be hashed for
identity, and can be bound by a launcher that learns hosts and ports late:

======================== =====================================================================
``{host}``               address that this process binds to
``{port:http}``          its port ``http``; of a block of ports the first
``{ports:kv}``           all ports of its block ``kv``, comma-separated
``{index}``              number of its replica, from 0
``{rank}``               its number within the replica, from 0
``{leader.host}``        host of rank 0 of its replica
``{leader.port:http}``   a port of rank 0 of its replica
``{beside.port:http}``   a port of the process that it runs beside (see :class:`ProcessSpec`)
``{hosts}``              hosts of all ranks of its replica, comma-separated
``{decode.0.host}``      host of replica 0 of role ``decode``, of its rank 0
``{decode.0.port:http}`` its port
``{weights}``            local path (or hub name) of the model weights
``{weights:NAME}``       the same of the model's extra weights of that name
``{cpus}``               number of CPU cores of this process
``{devices}``            devices of this process, comma-separated (see DeviceInfo.handle)
``{scratch}``            a folder for this process only, removed after the run
``{shared}``             a folder that all processes of the deployment see, removed after the run
``{file:NAME}``          path of the :class:`FileSpec` with that name
``{secret:NAME}``        environment variable NAME; allowed in `environment` only, never in argv
======================== =====================================================================

Any other brace is literal (JSON values need no escaping).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from .access import Access
from .errors import UsageError
from .flags import FlagGrammar, FlagValue
from .frozen import FrozenMap
from .topology import SERVER


def _flags(value: Mapping[str, FlagValue]) -> FrozenMap[FlagValue]:
    return FrozenMap({name: given for name, given in value.items() if given is not None})


def _env(value: Mapping[str, str]) -> FrozenMap[str]:
    return value if isinstance(value, FrozenMap) else FrozenMap(value)


@attrs.frozen(kw_only=True)
class FileSpec:
    """A file that core writes before a process starts (a config, a chat template).

    `content`: text, which is written verbatim; or a mapping, which is written as JSON, YAML or
    TOML, by the extension of `name`. Strings of a mapping may contain symbols; a port's symbol
    alone (``{port:http}``) becomes a number, None a null. Layers may change a mapping key by key;
    None in a layer removes a key. `name` has no folder.
    """

    name: str
    content: str | FrozenMap[Any]

    @classmethod
    def read(cls, name: str, path: str, what: str) -> FileSpec:
        """The content of a text file that the user names.

        Args:
            what: what it is, for the error: ``chat template``.

        Raises:
            UsageError: it cannot be read, or is not text.
        """
        try:
            return cls(name=name, content=Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = "it is not UTF-8 text" if isinstance(error, ValueError) else error.strerror
            raise UsageError(
                f"cannot read the {what} {path}: {reason}", hint="check the path"
            ) from None

    @classmethod
    def given(cls, name: str, path: str | None, what: str) -> tuple[FileSpec, ...]:
        """The file at the path of an option, as :meth:`read` reads it; empty for None."""
        return () if path is None else (cls.read(name, path, what),)


def server_url(place: str | None = None) -> str:
    """The URL of the port ``http`` of a process, with symbols: its own, or that of the process at a
    place such as ``decode.0``.
    """
    of = "" if place is None else f"{place}."
    return f"http://{{{of}host}}:{{{of}port:http}}"


@attrs.frozen(kw_only=True)
class PortBlock:
    """Ports of a process with consecutive numbers. ``{port:NAME}`` is the first of them,
    ``{ports:NAME}`` are all, comma-separated.
    """

    name: str
    count: int = attrs.field(default=1, validator=attrs.validators.in_(range(1, 257)))


def _ports(value: Sequence[str | PortBlock]) -> tuple[PortBlock, ...]:
    return tuple(PortBlock(name=one) if isinstance(one, str) else one for one in value)


@attrs.frozen(kw_only=True)
class ProcessSpec:
    """The processes of one role of a deployment, with unbound symbols.

    `role`: the key of their pool, or a name of its own (``router``); each role is planned once.

    `argv` is the program and its fixed arguments; `wrap` stands before it (``numactl -N 0``).
    `flags` is an ordered mapping that is rendered after `argv`, so that layers can merge and
    explain each flag; `grammar` says how the program writes them.

    `ports` are the names of the ports that each process needs, or blocks of ports; every port is
    below 32,768. `replicas` share the work. A replica has `ranks`, processes on different hosts as
    far as there are enough; `leader_only`: only rank 0 is started, and starts the others itself, as
    ``mpirun`` does. `accelerators`: number per replica, spread evenly over its ranks; `sku`: their
    SKU, set by core from the pool's hardware. `beside`: a role whose replica of the same number
    runs on the same host.

    `after`: roles whose processes start earlier. `ready`: a URL of each process that tells when it
    is ready: ``http://{host}:{port:http}/health`` answers with a status from 200 to 299,
    ``tcp://{host}:{port:rpc}`` accepts a connection. Until then, roles with this one in `after` do
    not start.

    `mounts` (host paths), `devices` (device nodes) and `groups` (of users) are for launchers that
    isolate processes, `image` for those that run containers.
    """

    role: str = SERVER
    argv: tuple[str, ...]
    flags: FrozenMap[FlagValue] = attrs.field(default=FrozenMap(), converter=_flags)
    environment: FrozenMap[str] = attrs.field(default=FrozenMap(), converter=_env)
    files: tuple[FileSpec, ...] = ()
    ports: tuple[PortBlock, ...] = attrs.field(default=("http",), converter=_ports)
    replicas: int = 1
    ranks: int = 1
    leader_only: bool = False
    accelerators: int = 0
    sku: str | None = None
    beside: str | None = None
    after: tuple[str, ...] = ()
    ready: str | None = None
    image: str | None = None
    mounts: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    wrap: tuple[str, ...] = ()
    grammar: FlagGrammar = FlagGrammar()


@attrs.frozen(kw_only=True)
class EndpointSpec:
    """Where a role listens. `url` may contain symbols, or be literal for a running server.

    With symbols of other processes (``{server.0.host}``) it is one endpoint. With a process's own
    (``{host}``, ``{port:http}``) it stands for one of every process of the role.

    `metrics_path`: the page with its counters, None if it has none.
    """

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
    `access`: how requests reach the server, beyond the endpoint's URL. `first_prompt_tokens`:
    minimum prompt length of the request that confirms a start, so that every pool takes part.
    `wraps`: the engine whose worker a role runs, by role; recipes and amendments for that engine
    reach the role. `speculation`: the method of speculative decoding, ``none`` without it; None if
    the engine does not know.
    """

    processes: tuple[ProcessSpec, ...] = ()
    endpoints: tuple[EndpointSpec, ...] = (EndpointSpec(),)
    start_timeout_s: float = 600.0
    served_name: str | None = None
    api_key_env: str | None = None
    access: Access = Access()
    first_prompt_tokens: int = 1
    wraps: FrozenMap[str] = FrozenMap()
    speculation: str | None = None


@attrs.frozen(kw_only=True)
class Amendment:
    """A change to a launch plan by another plugin, with its reason.

    By role, which must be one of the plan or of `processes`: `flags` with values as in a
    :class:`ProcessSpec` (None removes a flag that an earlier layer set), `environment`, `images`,
    `files` that are added or whose mappings are merged into those of the same name, `ports` that
    are added, `wrap` (a command that stands before the program) and `after` (roles that start
    earlier). `mounts` and `devices` go to every process; `processes` are added. Core rejects
    contradicting amendments and names both plugins.

    `reasons`: reasons other than `reason`, by the name of a flag, variable or file, or the role of
    an added process. `recipes_win`: a model's recipe overrides it; otherwise it overrides the
    recipe.
    """

    reason: str
    reasons: FrozenMap[str] = FrozenMap()
    recipes_win: bool = False
    flags: FrozenMap[FrozenMap[FlagValue]] = FrozenMap()
    environment: FrozenMap[FrozenMap[str]] = FrozenMap()
    files: FrozenMap[tuple[FileSpec, ...]] = FrozenMap()
    images: FrozenMap[str] = FrozenMap()
    ports: FrozenMap[tuple[str, ...]] = FrozenMap()
    wrap: FrozenMap[tuple[str, ...]] = FrozenMap()
    after: FrozenMap[tuple[str, ...]] = FrozenMap()
    processes: tuple[ProcessSpec, ...] = ()
    mounts: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()

    def why(self, name: str) -> str:
        """The reason for the flag, variable, file or process of that name."""
        return self.reasons.get(name, self.reason)


@attrs.frozen(kw_only=True)
class Resources:
    """What a deployment needs from a launcher: its processes, with their accelerators."""

    processes: tuple[ProcessSpec, ...]

    @property
    def accelerators(self) -> int:
        """Accelerators of all replicas of all processes."""
        return sum(process.accelerators * process.replicas for process in self.processes)


@attrs.frozen(kw_only=True)
class Host:
    """A machine as the launcher names it.

    `address`: what processes on it bind to, and others reach it by. `python`: its Python 3.8 or
    newer. `cpus`: cores that may be used, empty for all. `devices`: handles of accelerators that
    may be used (see DeviceInfo.handle); None for all that the hardware plugin finds there.
    """

    name: str
    address: str
    python: str = "python3"
    cpus: tuple[int, ...] = ()
    devices: tuple[str, ...] | None = None


@attrs.frozen(kw_only=True)
class Allocation:
    """The hosts that a launcher granted.

    `shared`: path of a folder that all of them see, for ``{shared}``; None if there is none.
    """

    id: str
    hosts: tuple[Host, ...]
    shared: str | None = None


@attrs.frozen(kw_only=True)
class Placement:
    """Where one process runs: rank `rank` of replica `index` of `role`.

    `ports`: numbers by name, of a block the first. `devices`: handles of its accelerators.
    """

    role: str
    index: int
    rank: int = 0
    host: Host
    ports: FrozenMap[int] = FrozenMap()
    devices: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``ROLE-INDEX``, for ranks above 0 ``ROLE-INDEX-RANK``: the name of its log."""
        return f"{self.role}-{self.index}" + (f"-{self.rank}" if self.rank else "")


@attrs.frozen(kw_only=True)
class Endpoint:
    """A bound endpoint of a running deployment. `index` is the replica's number within its role,
    `rank` the process's within the replica, `host` the name of its host; None if it was up before.
    `here`: its process was started on this machine, where the interpreters are those of planning.
    """

    role: str
    index: int
    rank: int = 0
    host: str | None = None
    here: bool = False
    url: str
    metrics_url: str | None = None


class Launcher(ABC):
    """Gives hosts, and channels to them. Core starts and stops the processes through these.

    Core has the launcher `local`; others are plugins.
    """

    @abstractmethod
    def allocate(self, resources: Resources) -> Allocation:
        """Reserve hosts for all processes. May wait for them.

        Raises:
            HardwareAbsent: the requested resources do not exist.
            EngineError: they could not be allocated.
        """

    @abstractmethod
    def channel(self, host: Host, argv: Sequence[str]) -> Sequence[str]:
        """The command that runs `argv` on a host of the allocation. Pure.

        It connects standard input and output, and ends when `argv` does. When its standard input
        ends, so does that of `argv`.
        """

    def release(self, allocation: Allocation) -> None:
        """Give the hosts back. Called once for each allocation, also after a failure, when all
        processes have ended. By default, nothing.
        """
