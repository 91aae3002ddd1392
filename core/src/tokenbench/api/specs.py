"""Specs that registration hooks return: frozen, cheap to create, with lazy factories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from .codec import Codec
from .engine import Engine, EngineCapabilities, EngineContext
from .eval import Eval
from .hardware import Hardware
from .launch import Launcher, LauncherContext
from .model import ModelSpec
from .options import NoOptions
from .report import Reporter
from .workload import Workload


@attrs.frozen(kw_only=True)
class EngineSpec:
    """An engine. `factory` takes an instance of `options` and the context."""

    name: str
    summary: str
    factory: Callable[[Any, EngineContext], Engine]
    options: type[Any] = NoOptions
    capabilities: EngineCapabilities = EngineCapabilities()


@attrs.frozen(kw_only=True)
class HardwareSpec:
    """A vendor's accelerators, or the host's CPU (`accelerated` False: it has no devices to
    allocate; its unit is the host). `catalogue_only`: it looks for no devices and reads none.
    """

    name: str
    summary: str
    factory: Callable[[Any], Hardware]
    options: type[Any] = NoOptions
    accelerated: bool = True
    catalogue_only: bool = False


@attrs.frozen(kw_only=True)
class WorkloadSpec:
    """A workload. `exact_lengths`: it requests exact output lengths. `multi_turn`: its sessions
    have more than one turn.
    """

    name: str
    summary: str
    factory: Callable[[Any], Workload]
    options: type[Any] = NoOptions
    exact_lengths: bool = False
    multi_turn: bool = False


@attrs.frozen(kw_only=True)
class EvalSpec:
    """An eval."""

    name: str
    summary: str
    factory: Callable[[Any], Eval]
    options: type[Any] = NoOptions


@attrs.frozen(kw_only=True)
class ReporterSpec:
    """A reporter."""

    name: str
    summary: str
    factory: Callable[[Any], Reporter]
    options: type[Any] = NoOptions


@attrs.frozen(kw_only=True)
class LauncherSpec:
    """A launcher. `factory` takes an instance of `options` and the context."""

    name: str
    summary: str
    factory: Callable[[Any, LauncherContext], Launcher]
    options: type[Any] = NoOptions


@attrs.frozen(kw_only=True)
class CodecSpec:
    """A codec. Dialects and evals refer to it by `name`."""

    name: str
    summary: str
    factory: Callable[[], Codec]


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
