"""The limits of all certification checks; a suite may change them (``certification:``)."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from tokenbench.suite.shown import shown

from .definitions import BY_NAME


@attrs.frozen(kw_only=True)
class Limits:
    """A value beyond `flag` is flagged, one beyond `invalid` (None: never) is invalid."""

    flag: float
    invalid: float | None = None


@attrs.frozen(kw_only=True)
class CertificationThresholds:
    """Limits of all checks; shares are 0 to 1, times in seconds.

    The limit of a delay is the larger of its share (of median TPOT or TTFT) and its floor.
    `min_requests`: percentiles of fewer requests are not judged. `max_template_tokens`: the longest
    chat template that is assumed where prompt lengths do not reveal it (our choice).
    `cache_hits_above`: by how much the cached share may exceed that of an unlimited cache, for the
    blocks and the template of the server (our choice). `energy_counter_deviation`: how far an
    energy counter may deviate from the power integral (our choice: a counter that is stuck or
    uses another unit deviates much more). `stability_noise`: the 99 % point of the studentised
    range of 3 means with 27 degrees of freedom (4.495 by scipy.stats.studentized_range 1.17.1). The
    worst of five repeats exceeds it by chance in one point of twenty; of more repeats a larger one
    is used, so that it stays one of twenty.
    """

    loop_delay_share: Limits = Limits(flag=0.05, invalid=0.20)
    loop_delay_floor_s: Limits = Limits(flag=1e-3, invalid=5e-3)
    dispatch_delay_share: Limits = Limits(flag=0.05, invalid=0.20)
    dispatch_delay_floor_s: Limits = Limits(flag=1e-3, invalid=20e-3)
    client_cpu_share: Limits = Limits(flag=0.85, invalid=0.97)
    coalesced_share: Limits = Limits(flag=0.01)
    coalesced_withhold_itl: float = 0.20
    offered_load: Limits = Limits(flag=0.98, invalid=0.90)
    steady_share: Limits = Limits(flag=0.90)
    starved_share: Limits = Limits(flag=0.01)
    output_length_share: Limits = Limits(flag=0.99, invalid=0.90)
    input_length_deviation: Limits = Limits(flag=0.02, invalid=0.10)
    failure_share: Limits = Limits(flag=0.0, invalid=0.05)
    prefix_cache_share: Limits = Limits(flag=0.01, invalid=0.10)
    cache_hits_above: Limits = Limits(flag=0.01, invalid=0.05)
    server_count_deviation: Limits = Limits(flag=0.01, invalid=0.05)
    stability_spread: Limits = Limits(flag=0.05, invalid=0.20)
    stability_min_s: float = 20.0
    stability_min_generations: float = 3.0
    stability_noise: float = 4.49
    precision_metrics: tuple[str, ...] = ("output_tok_s.steady", "tpot_s.p50")
    pause_floor_s: float = 0.05
    pause_share: Limits = Limits(flag=0.01, invalid=0.05)
    clock_step_s: float = 1e-3
    foreign_load: Limits = Limits(flag=0.05, invalid=0.25)
    slowdown_share: float = 0.01
    clock_of_peers: float = 0.7
    idle_utilization: float = 0.05
    working_utilization: float = 0.3
    telemetry_gap_s: float = 3.0
    energy_counter_deviation: float = 0.2
    saturated_served_share: float = 0.95
    saturated_waiting_share: float = 0.5
    min_requests: int = 10
    max_template_tokens: int = 64


_NO_SHARES = frozenset({"stability_min_generations", "stability_noise"})
# Lower values are worse, so `invalid` is below `flag`.
_LOWER_IS_WORSE = frozenset({"offered_load", "output_length_share", "steady_share"})


def thresholds_from(data: Mapping[str, Any]) -> CertificationThresholds:
    """The default limits with the changes of a suite's ``certification:``.

    ``{"client_cpu_share": {"flag": 0.9, "invalid": 0.99}, "telemetry_gap_s": 5}``: other limits
    keep their defaults. With `invalid` None, the check is never invalid.

    Raises:
        ValueError: the path of the wrong value, and the reason.
    """
    defaults = CertificationThresholds()
    names = attrs.fields_dict(CertificationThresholds)
    changes = {}
    for name, value in data.items():
        _require_known(str(name), names, "")
        changes[name] = _value(name, value, getattr(defaults, name))
    return attrs.evolve(defaults, **changes)


def _require_known(name: str, names: Mapping[str, Any], where: str) -> None:
    if name in names:
        return
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(names)}"
    raise ValueError(f"{where}{name}: unknown; {hint}")


def _value(path: str, value: Any, default: Any) -> Any:
    if isinstance(default, Limits):
        return _limits(path, value, default)
    if isinstance(default, tuple):
        return _metrics(path, value)
    if isinstance(default, int):
        return _integer(path, value)
    return _number(path, value)


def _limits(path: str, value: Any, default: Limits) -> Limits:
    if not isinstance(value, Mapping):
        raise ValueError(f"{path}: expected flag and invalid, got {shown(value)}")
    for name in value:
        _require_known(str(name), attrs.fields_dict(Limits), f"{path}.")
    flag = _number(f"{path}.flag", value["flag"]) if "flag" in value else default.flag
    invalid = default.invalid
    if "invalid" in value:
        given = value["invalid"]
        invalid = None if given is None else _number(f"{path}.invalid", given)
    if invalid is not None and (flag < invalid if path in _LOWER_IS_WORSE else flag > invalid):
        side = "below" if path in _LOWER_IS_WORSE else "above"
        raise ValueError(
            f"{path}: invalid ({invalid:g}) must not be less strict than flag ({flag:g}): "
            f"a value {side} flag is flagged, one {side} invalid is invalid"
        )
    return Limits(flag=flag, invalid=invalid)


def _number(path: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{path}: expected a number, got {shown(value)}")
    if not 0 <= value < math.inf:
        raise ValueError(f"{path}: expected a non-negative number, got {shown(value)}")
    if value > 1 and _is_share(path.partition(".")[0]):
        raise ValueError(
            f"{path}: expected a share between 0 and 1 (5 % is 0.05), got {shown(value)}"
        )
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{path}: the number is too large") from None


def _is_share(name: str) -> bool:
    """True except for times and for values in generations or standard errors."""
    return not name.endswith("_s") and name not in _NO_SHARES


def _integer(path: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{path}: expected an integer, got {shown(value)}")
    if value < 0:
        raise ValueError(f"{path}: expected a non-negative number, got {shown(value)}")
    return value


def _metrics(path: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"{path}: expected a list of metrics, got {shown(value)}")
    for index, name in enumerate(value):
        if not isinstance(name, str):
            raise ValueError(f"{path}[{index}]: expected a metric, got {shown(name)}")
        _require_known(name, BY_NAME, f"{path}[{index}]: ")
    if len(set(value)) < len(value):
        raise ValueError(f"{path}: a metric is given twice")
    return tuple(value)
