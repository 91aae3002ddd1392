"""What a user asks for, as data. Field names are the keys of a suite file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs

from tokenbench.api import SERVER, FlagValue, FrozenMap, Topology
from tokenbench.api.load import ARRIVALS

from .limits import (
    LEAST_BURSTINESS,
    LEAST_RATE,
    LEAST_SPEED,
    MOST_ACCELERATORS,
    MOST_BURSTINESS,
    MOST_CONCURRENCY,
    MOST_DURATION_S,
    MOST_RATE,
    MOST_REPEATS,
    MOST_REQUESTS,
    MOST_SEED,
    MOST_SPEED,
    MOST_WORKERS,
)
from .shown import kind_of

SUITE_VERSION = 1


class YamlOptions(FrozenMap[Any]):
    """Options as a YAML file gives them: a list is a list. On a command line it is text with ``/``
    between the items.
    """

    __slots__ = ()


@attrs.frozen
class PluginRef:
    """A plugin by name, with its options as given: strings from flags, values from YAML.

    `distribution` is set if the user wrote ``DIST/NAME`` because two distributions offer one name.
    """

    name: str
    options: FrozenMap[Any] = FrozenMap()
    distribution: str | None = None

    @property
    def key(self) -> str:
        """``NAME`` or ``DIST/NAME``."""
        return self.name if self.distribution is None else f"{self.distribution}/{self.name}"

    @classmethod
    def of(cls, key: str, options: FrozenMap[Any] | None = None) -> PluginRef:
        """From ``NAME`` or ``DIST/NAME``."""
        distribution, _, name = key.rpartition("/")
        return cls(name, options if options is not None else FrozenMap(), distribution or None)


@attrs.frozen
class SkuRef:
    """Accelerators of a SKU: ``h200:8``. `distribution` as in :class:`PluginRef`."""

    name: str
    count: int
    distribution: str | None = None

    def __str__(self) -> str:
        where = "" if self.distribution is None else f"{self.distribution}/"
        return f"{where}{self.name}:{self.count}"

    @classmethod
    def of(cls, key: str, count: int) -> SkuRef:
        """From ``SKU`` or ``DIST/SKU``, and how many.

        Raises:
            ValueError: the count is out of range.
        """
        if not 1 <= count <= MOST_ACCELERATORS:
            raise ValueError(f"expected between 1 and {MOST_ACCELERATORS:,} of {key!r}")
        distribution, _, name = key.rpartition("/")
        return cls(name, count, distribution or None)


def _mappings(_: object, attribute: attrs.Attribute[Any], value: Mapping[str, Any]) -> None:
    for name, content in value.items():
        if not isinstance(content, Mapping):
            raise ValueError(f"{attribute.name}.{name}: expected a mapping, got {kind_of(content)}")


@attrs.frozen(kw_only=True)
class RoleSettings:
    """What overrides the settings of the processes of one role.

    `files`: mappings that are merged into the files of that name.
    """

    flags: FrozenMap[FlagValue] = FrozenMap()
    environment: FrozenMap[str] = FrozenMap()
    image: str | None = None
    files: FrozenMap[Any] = attrs.field(default=FrozenMap(), validator=_mappings)


@attrs.frozen(kw_only=True)
class PoolRequest:
    """A pool of a deployment: `replicas` of one role and topology.

    `name` tells pools of one role apart. `engine`: the engine of its processes, where the
    deployment's engine orchestrates others. `hardware`: accelerators of a SKU, where they differ
    from the deployment's. `flags`, `environment`, `image` and `files` override the settings of its
    processes, as `roles` of the deployment does.
    """

    role: str = SERVER
    name: str = ""
    topology: Topology = Topology()
    replicas: int = 1
    engine: PluginRef | None = None
    hardware: PluginRef | SkuRef | None = None
    flags: FrozenMap[FlagValue] = FrozenMap()
    environment: FrozenMap[str] = FrozenMap()
    image: str | None = None
    files: FrozenMap[Any] = attrs.field(default=FrozenMap(), validator=_mappings)

    @property
    def key(self) -> str:
        """The name, or else the role."""
        return self.name or self.role

    @property
    def settings(self) -> RoleSettings:
        """Its own settings."""
        return RoleSettings(
            flags=self.flags, environment=self.environment, image=self.image, files=self.files
        )


@attrs.frozen(kw_only=True)
class DeploymentRequest:
    """One deployment. `pools` replaces `topology` if prefill and decode run apart.

    `weights`: the precision of the weights (``fp8``). `hardware`: a plugin, for what this machine
    has, or accelerators of a SKU. `devices`: which of them, by the index that ``bench doctor``
    shows. `flags` and `environment` override the settings of all of the engine's processes, `roles`
    those of one role. `port` is the first port of the first process, by default a free one. Devices
    and port are not part of a point's identity.
    """

    engine: PluginRef
    model: PluginRef | None = None
    weights: str | None = None
    hardware: PluginRef | SkuRef = PluginRef("cpu")
    launcher: PluginRef = PluginRef("local")
    topology: Topology = Topology()
    pools: tuple[PoolRequest, ...] = ()
    flags: FrozenMap[FlagValue] = FrozenMap()
    environment: FrozenMap[str] = FrozenMap()
    roles: FrozenMap[RoleSettings] = FrozenMap()
    devices: tuple[int, ...] = ()
    port: int | None = None

    def settings_by_role(self) -> list[tuple[str, str, RoleSettings]]:
        """Path, role and settings, of pools and then of `roles`, which replace them."""
        pools = [(f"pools[{n}]", pool.key, pool.settings) for n, pool in enumerate(self.pools)]
        return [*pools, *((f"roles.{role}", role, own) for role, own in self.roles.items())]


def _between(low: float, high: float, *, above: bool = False) -> Any:
    """Each value is at least `low` (greater, with `above`) and at most `high`, or None."""

    def validate(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        values = tuple(value.values()) if isinstance(value, Mapping) else value
        for item in values if isinstance(values, tuple) else (values,):
            if item is None:
                continue
            # A large int cannot be converted to a float.
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


def _not_blank(_: object, attribute: attrs.Attribute[Any], value: str) -> None:
    if not value.strip():
        raise ValueError(f'{attribute.name}: expected text, got "{value}"')


def _auto_or_count(most: int) -> Any:
    count = _between(1, most)

    def validate(instance: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if isinstance(value, int):
            count(instance, attribute, value)
        elif value != "auto":
            raise ValueError(f"{attribute.name}: expected auto or a number, got {value!r}")

    return validate


_CONCURRENCY = _between(1, MOST_CONCURRENCY)
_RATE = [_between(0, math.inf, above=True), _between(LEAST_RATE, MOST_RATE)]
_SPEED = [_between(0, math.inf, above=True), _between(LEAST_SPEED, MOST_SPEED)]
_DURATION = _between(0, MOST_DURATION_S, above=True)


@attrs.frozen(kw_only=True)
class FindRequest:
    """Search for the largest load that meets the objectives: ``max-rate`` or ``max-concurrency``.

    It starts at `lowest` and never exceeds `highest` (null: no limit). It ends when the largest
    load that meets them and the smallest that does not differ by at most `tolerance` (relative).
    """

    what: str = attrs.field(validator=_one_of("max-rate", "max-concurrency"))
    lowest: float = attrs.field(default=1.0, validator=_RATE)
    highest: float | None = attrs.field(default=None, validator=_RATE)
    tolerance: float = attrs.field(default=0.05, validator=_between(0.001, 1))


@attrs.frozen(kw_only=True)
class RepeatsRequest:
    """How often a point is measured: ``repeats: 3``, or the keys below.

    After `at_least` repeats, more follow until output throughput and median TPOT are known to
    `precision` (half-width of the 95 % interval over the mean, ``5%`` or ``0.05``), but no more
    than `at_most`.
    """

    at_least: int = attrs.field(default=1, validator=_between(1, MOST_REPEATS))
    at_most: int = attrs.field(default=1, validator=_between(1, MOST_REPEATS))
    precision: float = attrs.field(default=0.10, validator=_between(0.001, 1))

    def __attrs_post_init__(self) -> None:
        if self.at_most < self.at_least:
            raise ValueError(
                f"at_most: expected at least {self.at_least} (at_least), got {self.at_most}"
            )

    def __str__(self) -> str:
        if self.at_least == self.at_most:
            return str(self.at_least)
        return f"{self.at_least} to {self.at_most}"


@attrs.frozen(kw_only=True)
class LoadRequest:
    """Load levels, and how long each is measured.

    Levels are concurrencies (closed loop), then rates in arrivals per second (open loop), then
    speeds: an open loop at the times of the workload's data, so many times as fast. For a workload
    with sessions of several turns, concurrencies and rates count sessions. The
    arrival process of a rate is `arrival`: ``constant``, ``poisson``, ``gamma`` with shape
    `burstiness`, ``ramp`` from `ramp_from`, or ``replay`` of the timestamps in the file `trace`
    (seconds, one a line), scaled to the rate. `find` searches for a level instead. `slo` holds
    objectives such as ``ttft_p99<200ms,tpot_p99<30ms``, for goodput and for `find`; those of a
    class of traffic begin with its name: ``chat:ttft_p99<200ms``.

    `server_concurrency` is the number of sequences in flight that the server is sized for: by
    default the largest concurrency, 16 for open loops. `workers` is the number of load worker
    processes, or ``auto``. `lengths` is ``approximate`` if prompts cannot have the asked number of
    tokens because the tokenizer is unknown; such points are not certified. `prefix_caching` allows
    the server's prefix cache: hits are then a result, not a fault. Before each repeat the cache is
    emptied, where the engine can. With `prime_cache` the prefixes of the repeat's prompts are then
    sent once, and not measured. With `begin_inside` the first sessions of a closed loop begin in
    their middle, as if the load had been running for long.

    A repeat ends after `duration_s`, `requests`, or `requests_per_concurrency` times the
    concurrency, whichever comes first; sessions in progress are then cut. After `sessions` have
    begun it starts no more, and those in progress go on to their end. The time limit waits until
    `min_requests_per_concurrency` times the concurrency have been sent. The warm-up sends
    `warmup_per_concurrency` times the concurrency; its prompts are distinct and not measured.
    """

    concurrency: tuple[int, ...] | None = attrs.field(default=None, validator=_CONCURRENCY)
    rate: tuple[float, ...] = attrs.field(default=(), validator=_RATE)
    speed: tuple[float, ...] = attrs.field(default=(), validator=_SPEED)
    arrival: str = attrs.field(default="poisson", validator=_one_of(*ARRIVALS))
    burstiness: float = attrs.field(
        default=1.0, validator=_between(LEAST_BURSTINESS, MOST_BURSTINESS)
    )
    ramp_from: float = attrs.field(default=0.0, validator=_between(0, MOST_RATE))
    trace: str | None = None
    server_concurrency: int | None = attrs.field(default=None, validator=_CONCURRENCY)
    slo: str | None = None
    find: FindRequest | None = None
    repeats: RepeatsRequest | None = None
    duration_s: float | None = attrs.field(default=None, validator=_DURATION)
    requests: int | None = attrs.field(default=None, validator=_between(1, MOST_REQUESTS))
    sessions: int | None = attrs.field(default=None, validator=_between(1, MOST_REQUESTS))
    requests_per_concurrency: float | None = attrs.field(
        default=None, validator=_between(0, MOST_REQUESTS, above=True)
    )
    workers: int | str = attrs.field(default="auto", validator=_auto_or_count(MOST_WORKERS))
    lengths: str = attrs.field(default="exact", validator=_one_of("exact", "approximate"))
    prefix_caching: bool = False
    prime_cache: bool = False
    begin_inside: bool = False
    min_requests_per_concurrency: float = attrs.field(
        default=0.0, validator=_between(0, MOST_REQUESTS)
    )
    warmup_per_concurrency: float = attrs.field(default=2.0, validator=_between(0, MOST_REQUESTS))
    stall_timeout_s: float = attrs.field(default=120.0, validator=_DURATION)
    request_timeout_s: float = attrs.field(default=600.0, validator=_DURATION)

    @property
    def concurrencies(self) -> tuple[int, ...]:
        """Closed-loop levels: 1 if neither a rate nor a search is asked for."""
        if self.concurrency is not None:
            return self.concurrency
        return () if self.rate or self.speed or self.find is not None else (1,)


@attrs.frozen(kw_only=True)
class TelemetryRequest:
    """How hardware is sampled during a run.

    `interval_s`: between two samples, at most 1: a gap of 3 s is flagged. `watch`: hardware plugins
    that are sampled beside that of the deployment; null for all installed ones that read the power
    of CPUs or of the host and find something. `idle_s`: how long power is measured without load,
    before the first point.
    """

    interval_s: float = attrs.field(default=0.25, validator=_between(0.01, 1))
    watch: tuple[PluginRef, ...] | None = None
    idle_s: float = attrs.field(default=3.0, validator=_between(0, 600))


@attrs.frozen(kw_only=True)
class AccuracyRequest:
    """How accuracy is judged.

    `minimum`: thresholds by the name of the eval; they replace those of models and evals.
    `confidence`: a gate ends as soon as the verdict over all its questions is certain with it.
    `canaries`: a few cheap requests before the first question show whether the server is sound; if
    not, no question is asked, and accuracy fails.
    """

    minimum: FrozenMap[float] = attrs.field(default=FrozenMap(), validator=_between(0, 1))
    confidence: float = attrs.field(default=0.95, validator=_between(0.5, 0.9999))
    canaries: bool = True


@attrs.frozen(kw_only=True)
class Suite:
    """What one run is asked to do.

    `seed`: of all prompts; null draws one for each run and records it. `requires`: distributions
    that must be installed, as pip writes them. `use`: amendments and
    observers. `certification`: limits of checks that differ from the defaults. `evals` ask all
    their questions; `gates` are evals with a threshold that stop as soon as they pass or fail.
    """

    version: int = SUITE_VERSION
    name: str = attrs.field(default="run", validator=_not_blank)
    seed: int | None = attrs.field(default=None, validator=_between(0, MOST_SEED))
    requires: tuple[str, ...] = ()
    use: tuple[PluginRef, ...] = ()
    deployments: tuple[DeploymentRequest, ...]
    workloads: tuple[PluginRef, ...] = (PluginRef("random"),)
    load: LoadRequest = LoadRequest()
    telemetry: TelemetryRequest = TelemetryRequest()
    certification: FrozenMap[Any] = FrozenMap()
    evals: tuple[PluginRef, ...] = ()
    gates: tuple[PluginRef, ...] = ()
    accuracy: AccuracyRequest = AccuracyRequest()
    reporters: tuple[PluginRef, ...] = (PluginRef("console"),)
