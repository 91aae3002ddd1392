"""What a launch needs besides the plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import attrs

from tokenbench.api import FrozenMap

from .node.client import NodeAgent
from .placement import Device


@attrs.frozen(kw_only=True)
class LaunchSettings:
    """Where a launch writes logs, and what it gives to processes.

    `logs`: a folder on this machine for the log of each process. `weights`, `extra_weights`: the
    values of ``{weights}`` and ``{weights:NAME}``. `port`: the first port of the first process;
    None: a free one. `cpus`: the cores of this machine that processes may use. `devices`: the
    accelerators of a host; called with its agent if the launcher does not name them.
    """

    logs: Path
    weights: str | None = None
    extra_weights: FrozenMap[str] = FrozenMap()
    port: int | None = None
    cpus: tuple[int, ...] = ()
    devices: Callable[[NodeAgent], Sequence[Device]] = lambda _: ()
