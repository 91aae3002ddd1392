"""What a user asks for, as data. Field names are the keys of a suite file."""

from __future__ import annotations

from typing import Any

import attrs

from tokenbench.api import FlagValue, FrozenMap, Pool, Topology

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
            if item is not None and (item <= limit if above else item < limit):
                words = "more than" if above else "at least"
                raise ValueError(f"{attribute.name}: expected {words} {limit:g}, got {item:g}")

    return validate


@attrs.frozen(kw_only=True)
class LoadRequest:
    """Load levels and how long each is measured.

    A repeat ends after `duration_s`, or after `requests`, or after `requests_per_slot` times the
    concurrency, whichever comes first of those given; the time limit waits until `least_per_slot`
    times the concurrency are sent, because a steady state needs more than one. The warm-up is
    `warmup_per_slot` times the concurrency, distinct prompts, not measured.
    """

    concurrency: tuple[int, ...] = attrs.field(default=(1,), validator=_at_least(1))
    repeats: int = attrs.field(default=1, validator=_at_least(1))
    duration_s: float | None = attrs.field(default=None, validator=_at_least(0, above=True))
    requests: int | None = attrs.field(default=None, validator=_at_least(1))
    requests_per_slot: float | None = attrs.field(default=None, validator=_at_least(0, above=True))
    least_per_slot: float = attrs.field(default=0.0, validator=_at_least(0))
    warmup_per_slot: float = attrs.field(default=2.0, validator=_at_least(0))
    stall_timeout_s: float = attrs.field(default=120.0, validator=_at_least(0, above=True))
    request_timeout_s: float = attrs.field(default=600.0, validator=_at_least(0, above=True))


@attrs.frozen(kw_only=True)
class Suite:
    """All that one run is asked to do. `requires`: distributions it needs, as for pip."""

    version: int = SUITE_VERSION
    name: str = "run"
    seed: int = 0
    requires: tuple[str, ...] = ()
    use: tuple[str, ...] = ()
    deployments: tuple[DeploymentRequest, ...]
    workloads: tuple[Chosen, ...] = (Chosen("random"),)
    load: LoadRequest = LoadRequest()
    evals: tuple[Chosen, ...] = ()
    reporters: tuple[Chosen, ...] = (Chosen("console"),)
