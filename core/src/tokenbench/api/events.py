"""Events for observers, one frozen class each. Observers cannot change or stop a run."""

from __future__ import annotations

import attrs

from .launch import Endpoint
from .result import EvalOutcome, PointResult


@attrs.frozen(kw_only=True)
class RunStarted:
    """A run starts; its directory exists."""

    run: str
    path: str
    points: int


@attrs.frozen(kw_only=True)
class DeploymentReady:
    """A deployment generated its first token. `start_s`: seconds since its start."""

    run: str
    deployment: str
    engine: str
    engine_version: str | None
    endpoints: tuple[Endpoint, ...]
    start_s: float


@attrs.frozen(kw_only=True)
class PointStarted:
    """A point's warm-up is about to start."""

    run: str
    deployment: str
    point: str


@attrs.frozen(kw_only=True)
class PointFinished:
    """A point's result is on disk."""

    run: str
    result: PointResult


@attrs.frozen(kw_only=True)
class EvalFinished:
    """An eval's outcome is on disk."""

    run: str
    outcome: EvalOutcome


@attrs.frozen(kw_only=True)
class RunFinished:
    """All results are on disk and every process has stopped. `state` as in RunView."""

    run: str
    path: str
    state: str
    exit_code: int
