"""Specs that registration hooks return: frozen, cheap to create, with lazy factories.

The `factory` of every kind takes an instance of the plugin's `options` (a codec has none:
:class:`NoOptions`) and the context.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from .codec import Codec
from .context import PluginContext
from .engine import Engine, EngineCapabilities
from .eval import Eval
from .frozen import FrozenMap
from .hardware import Hardware
from .launch import Launcher
from .model import AccuracyThreshold, ModelSpec
from .options import NoOptions
from .report import Reporter
from .workload import Workload


@attrs.frozen(kw_only=True)
class EngineSpec:
    """An engine."""

    name: str
    summary: str
    factory: Callable[[Any, PluginContext], Engine]
    options: type[Any] = NoOptions
    capabilities: EngineCapabilities = EngineCapabilities()


DOMAINS = ("accelerator", "cpu", "host")
"""Whose power it is: all accelerators, all CPU packages, the whole host. They are never added."""


@attrs.frozen(kw_only=True)
class HardwareSpec:
    """A vendor's accelerators, the host's CPU, or a meter of the host's power.

    `domain`: whose power and energy it reads, ``accelerator``, ``cpu`` or ``host``. Only
    accelerators are allocated to processes. `catalogue_only`: it has no program for hosts.
    `unproven`: what was never run on real hardware, in one sentence.
    """

    name: str
    summary: str
    factory: Callable[[Any, PluginContext], Hardware]
    options: type[Any] = NoOptions
    domain: str = attrs.field(default="accelerator", validator=attrs.validators.in_(DOMAINS))
    catalogue_only: bool = False
    unproven: str | None = None

    @property
    def accelerated(self) -> bool:
        """Whether it has accelerators."""
        return self.domain == "accelerator"


@attrs.frozen(kw_only=True)
class WorkloadPart:
    """Another workload that a workload is composed of. `options`: as in a suite."""

    name: str
    options: FrozenMap[Any] = FrozenMap()


@attrs.frozen(kw_only=True)
class WorkloadSpec:
    """A workload. `multi_turn`: its sessions may have more than one turn; load levels then count
    sessions. `primes`: it has sessions that fill a prefix cache (:meth:`Workload.priming`).
    `parts`: a function from its options to the workloads that it is composed of; its factory's
    context has them.
    """

    name: str
    summary: str
    factory: Callable[[Any, PluginContext], Workload]
    options: type[Any] = NoOptions
    parts: Callable[[Any], Sequence[WorkloadPart]] | None = None
    multi_turn: bool = False
    primes: bool = False


@attrs.frozen(kw_only=True)
class EvalSpec:
    """An eval. `thresholds`: for models that have none of their own for it."""

    name: str
    summary: str
    factory: Callable[[Any, PluginContext], Eval]
    options: type[Any] = NoOptions
    thresholds: tuple[AccuracyThreshold, ...] = ()


@attrs.frozen(kw_only=True)
class ReporterSpec:
    """A reporter. `economics`: its views have `View.economics`, which takes time to compute."""

    name: str
    summary: str
    factory: Callable[[Any, PluginContext], Reporter]
    options: type[Any] = NoOptions
    economics: bool = False


@attrs.frozen(kw_only=True)
class LauncherSpec:
    """A launcher. `this_machine`: its only host is this machine, so that its hardware can be looked
    for while planning. With others, name the SKU of the accelerators. `images`: it starts processes
    in container images; core refuses those of a plan otherwise.
    """

    name: str
    summary: str
    factory: Callable[[Any, PluginContext], Launcher]
    options: type[Any] = NoOptions
    this_machine: bool = False
    images: bool = False


@attrs.frozen(kw_only=True)
class CodecSpec:
    """A codec, which has no options. Dialects and evals refer to it by `name`."""

    name: str
    summary: str
    factory: Callable[[NoOptions, PluginContext], Codec]


Spec = (
    EngineSpec
    | HardwareSpec
    | ModelSpec
    | WorkloadSpec
    | EvalSpec
    | ReporterSpec
    | LauncherSpec
    | CodecSpec
)
