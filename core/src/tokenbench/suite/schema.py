"""What a user asks for, as data. Field names are the keys of a suite file."""

from __future__ import annotations

import math
from typing import Any

import attrs

from tokenbench.api import FlagValue, FrozenMap, Pool, Topology
from tokenbench.api.load import ARRIVALS

from .limits import (
    LEAST_BURSTINESS,
    LEAST_RATE,
    MOST_BURSTINESS,
    MOST_CONCURRENCY,
    MOST_DURATION_S,
    MOST_RATE,
    MOST_REPEATS,
    MOST_REQUESTS,
)

SUITE_VERSION = 1


@attrs.frozen
class PluginRef:
    """A plugin by name, with the options as given (strings from flags, values from YAML).

    `distribution` is set where the user wrote ``DIST/NAME`` because two offer one name.
    """

    name: str
    options: FrozenMap[Any] = FrozenMap()
    distribution: str | None = None

    @property
    def key(self) -> str:
        """What finds the plugin: ``NAME`` or ``DIST/NAME``."""
        return self.name if self.distribution is None else f"{self.distribution}/{self.name}"

    @classmethod
    def of(cls, key: str, options: FrozenMap[Any] | None = None) -> PluginRef:
        """From what the user wrote before the colon."""
        distribution, _, name = key.rpartition("/")
        return cls(name, options if options is not None else FrozenMap(), distribution or None)


@attrs.frozen(kw_only=True)
class DeploymentRequest:
    """One deployment. `pools` replaces `topology` where prefill and decode run apart.

    `flags` and `environment` override the engine's own settings, for every process. `port` is the
    first port of the first process, a free one by default; it is no part of a point's identity.
    """

    engine: PluginRef
    model: str | None = None
    precision: str | None = None
    hardware: PluginRef = PluginRef("cpu")
    launcher: PluginRef = PluginRef("local")
    topology: Topology = Topology()
    pools: tuple[Pool, ...] = ()
    flags: FrozenMap[FlagValue] = FrozenMap()
    environment: FrozenMap[str] = FrozenMap()
    port: int | None = None


def _between(low: float, high: float, *, above: bool = False) -> Any:
    """Each value at least `low` (more, with `above`) and at most `high`; None where it may be."""

    def validate(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        for item in value if isinstance(value, tuple) else (value,):
            if item is None:
                continue
            # A whole number may be too large to be made a float of.
            if isinstance(item, float) and not math.isfinite(item):
                raise ValueError(f"{attribute.name}: expected a finite number, got {item:g}")
            if item <= low if above else item < low:
                words = f"more than {low:g}" if above else f"at least {low:.3g}"
            elif item > high:
                words = f"at most {high:,.15g}"
            else:
                continue
            raise ValueError(f"{attribute.name}: expected {words}, got {_shown(item)}")

    return validate


def _shown(value: float) -> str:
    if isinstance(value, float):
        return f"{value:.9g}"
    return str(value) if abs(value) < 10**15 else "a number of many digits"


def _one_of(*allowed: str) -> Any:
    def validate(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is not None and value not in allowed:
            words = ", ".join(allowed)
            raise ValueError(f"{attribute.name}: expected one of {words}, got {value!r}")

    return validate


_SLOTS = _between(1, MOST_CONCURRENCY)
_RATE = [_between(0, math.inf, above=True), _between(LEAST_RATE, MOST_RATE)]
_DURATION = _between(0, MOST_DURATION_S, above=True)


@attrs.frozen(kw_only=True)
class FindRequest:
    """The largest load at which objectives hold: ``max-rate`` (open loop) or ``max-concurrency``.

    The search begins at `lowest`, ends at `highest` at the latest (null: open) and is done when
    what holds and what does not are within `tolerance` of each other.
    """

    what: str = attrs.field(validator=_one_of("max-rate", "max-concurrency"))
    lowest: float = attrs.field(default=1.0, validator=_RATE)
    highest: float | None = attrs.field(default=None, validator=_RATE)
    tolerance: float = attrs.field(default=0.05, validator=_between(0.001, 1))


@attrs.frozen(kw_only=True)
class LoadRequest:
    """Load levels and how long each is measured.

    Levels are the concurrencies of closed loops, and after them the arrivals a second of open loops
    (`rate`), whose process is `arrival`: ``constant``, ``poisson``, ``gamma`` with `burstiness`
    (its shape), ``ramp`` from `ramp_from`, or ``replay`` of the time stamps in the file `trace` (a
    number of seconds a line), stretched to each rate. `find` looks for a level instead. `slo` are
    objectives such as ``ttft_p99<200ms,tpot_p99<30ms``, for goodput and for `find`.

    `server_concurrency` is how many sequences in flight the server is sized for: by default the largest
    concurrency, 16 for open loops.

    A repeat ends after `duration_s`, or after `requests`, or after `requests_per_concurrency` times the
    concurrency, whichever comes first of those given; the time limit waits until `min_requests_per_concurrency`
    times the concurrency are sent, because a steady state needs more than one. The warm-up is
    `warmup_per_concurrency` times the concurrency, distinct prompts, not measured.
    """

    concurrency: tuple[int, ...] | None = attrs.field(default=None, validator=_SLOTS)
    rate: tuple[float, ...] = attrs.field(default=(), validator=_RATE)
    arrival: str = attrs.field(default="poisson", validator=_one_of(*ARRIVALS))
    burstiness: float = attrs.field(
        default=1.0, validator=_between(LEAST_BURSTINESS, MOST_BURSTINESS)
    )
    ramp_from: float = attrs.field(default=0.0, validator=_between(0, MOST_RATE))
    trace: str | None = None
    server_concurrency: int | None = attrs.field(default=None, validator=_SLOTS)
    slo: str | None = None
    find: FindRequest | None = None
    repeats: int = attrs.field(default=1, validator=_between(1, MOST_REPEATS))
    duration_s: float | None = attrs.field(default=None, validator=_DURATION)
    requests: int | None = attrs.field(default=None, validator=_between(1, MOST_REQUESTS))
    requests_per_concurrency: float | None = attrs.field(
        default=None, validator=_between(0, MOST_REQUESTS, above=True)
    )
    min_requests_per_concurrency: float = attrs.field(
        default=0.0, validator=_between(0, MOST_REQUESTS)
    )
    warmup_per_concurrency: float = attrs.field(default=2.0, validator=_between(0, MOST_REQUESTS))
    stall_timeout_s: float = attrs.field(default=120.0, validator=_DURATION)
    request_timeout_s: float = attrs.field(default=600.0, validator=_DURATION)

    @property
    def concurrencies(self) -> tuple[int, ...]:
        """Closed-loop levels: one request at a time where nothing else was asked for."""
        if self.concurrency is not None:
            return self.concurrency
        return () if self.rate or self.find is not None else (1,)


@attrs.frozen(kw_only=True)
class Suite:
    """All that one run is asked to do. `requires`: distributions it needs, as for pip.
    `certification`: limits of checks that differ from the usual ones.
    """

    version: int = SUITE_VERSION
    name: str = "run"
    seed: int = 0
    requires: tuple[str, ...] = ()
    use: tuple[str, ...] = ()
    deployments: tuple[DeploymentRequest, ...]
    workloads: tuple[PluginRef, ...] = (PluginRef("random"),)
    load: LoadRequest = LoadRequest()
    certification: FrozenMap[Any] = FrozenMap()
    evals: tuple[PluginRef, ...] = ()
    reporters: tuple[PluginRef, ...] = (PluginRef("console"),)
