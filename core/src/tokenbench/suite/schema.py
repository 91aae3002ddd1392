"""What a user asks for, as data. Field names are the keys of a suite file."""

from __future__ import annotations

import math
from typing import Any

import attrs

from tokenbench.api import FlagValue, FrozenMap, Pool, Topology
from tokenbench.api.load import ARRIVALS

SUITE_VERSION = 1


@attrs.frozen
class Chosen:
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
    def of(cls, key: str, options: FrozenMap[Any] | None = None) -> Chosen:
        """From what the user wrote before the colon."""
        distribution, _, name = key.rpartition("/")
        return cls(name, options if options is not None else FrozenMap(), distribution or None)


@attrs.frozen(kw_only=True)
class DeploymentRequest:
    """One deployment. `pools` replaces `topology` where prefill and decode run apart.

    `flags` and `environment` override the engine's own settings, for every process. `port` is the
    first port of the first process, a free one by default; it is no part of a point's identity.
    """

    engine: Chosen
    model: str | None = None
    precision: str | None = None
    hardware: Chosen = Chosen("cpu")
    launcher: Chosen = Chosen("local")
    topology: Topology = Topology()
    pools: tuple[Pool, ...] = ()
    flags: FrozenMap[FlagValue] = FrozenMap()
    environment: FrozenMap[str] = FrozenMap()
    port: int | None = None


def _at_least(limit: float, *, above: bool = False) -> Any:
    def validate(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        for item in value if isinstance(value, tuple) else (value,):
            if item is not None and not math.isfinite(item):
                raise ValueError(f"{attribute.name}: expected a finite number, got {item:g}")
            if item is not None and (item <= limit if above else item < limit):
                words = "more than" if above else "at least"
                raise ValueError(f"{attribute.name}: expected {words} {limit:g}, got {item:g}")

    return validate


def _one_of(*allowed: str) -> Any:
    def validate(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is not None and value not in allowed:
            words = ", ".join(allowed)
            raise ValueError(f"{attribute.name}: expected one of {words}, got {value!r}")

    return validate


@attrs.frozen(kw_only=True)
class FindRequest:
    """The largest load at which objectives hold: ``max-rate`` (open loop) or ``max-concurrency``.

    The search begins at `lowest`, ends at `highest` at the latest (null: open) and is done when
    what holds and what does not are within `tolerance` of each other.
    """

    what: str = attrs.field(validator=_one_of("max-rate", "max-concurrency"))
    lowest: float = attrs.field(default=1.0, validator=_at_least(0, above=True))
    highest: float | None = attrs.field(default=None, validator=_at_least(0, above=True))
    tolerance: float = attrs.field(default=0.05, validator=_at_least(0.001))


@attrs.frozen(kw_only=True)
class LoadRequest:
    """Load levels and how long each is measured.

    Levels are the concurrencies of closed loops, and after them the arrivals a second of open loops
    (`rate`), whose process is `arrival`: ``constant``, ``poisson``, ``gamma`` with `burstiness`
    (its shape), ``ramp`` from `ramp_from`, or ``replay`` of the time stamps in the file `trace` (a
    number of seconds a line), stretched to each rate. `find` looks for a level instead. `slo` are
    objectives such as ``ttft_p99<200ms,tpot_p99<30ms``, for goodput and for `find`.

    `server_slots` is how many sequences in flight the server is sized for: by default the largest
    concurrency, 16 for open loops.

    A repeat ends after `duration_s`, or after `requests`, or after `requests_per_slot` times the
    concurrency, whichever comes first of those given; the time limit waits until `least_per_slot`
    times the concurrency are sent, because a steady state needs more than one. The warm-up is
    `warmup_per_slot` times the concurrency, distinct prompts, not measured.
    """

    concurrency: tuple[int, ...] | None = attrs.field(default=None, validator=_at_least(1))
    rate: tuple[float, ...] = attrs.field(default=(), validator=_at_least(0, above=True))
    arrival: str = attrs.field(default="poisson", validator=_one_of(*ARRIVALS))
    burstiness: float = attrs.field(default=1.0, validator=_at_least(0, above=True))
    ramp_from: float = attrs.field(default=0.0, validator=_at_least(0))
    trace: str | None = None
    server_slots: int | None = attrs.field(default=None, validator=_at_least(1))
    slo: str | None = None
    find: FindRequest | None = None
    repeats: int = attrs.field(default=1, validator=_at_least(1))
    duration_s: float | None = attrs.field(default=None, validator=_at_least(0, above=True))
    requests: int | None = attrs.field(default=None, validator=_at_least(1))
    requests_per_slot: float | None = attrs.field(default=None, validator=_at_least(0, above=True))
    least_per_slot: float = attrs.field(default=0.0, validator=_at_least(0))
    warmup_per_slot: float = attrs.field(default=2.0, validator=_at_least(0))
    stall_timeout_s: float = attrs.field(default=120.0, validator=_at_least(0, above=True))
    request_timeout_s: float = attrs.field(default=600.0, validator=_at_least(0, above=True))

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
    workloads: tuple[Chosen, ...] = (Chosen("random"),)
    load: LoadRequest = LoadRequest()
    certification: FrozenMap[Any] = FrozenMap()
    evals: tuple[Chosen, ...] = ()
    reporters: tuple[Chosen, ...] = (Chosen("console"),)
