"""The limits of certification, all in one place as a suite may set them.

Figures: the table in the measurement definitions, version 1.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from .definitions import BY_NAME


@attrs.frozen(kw_only=True)
class Limits:
    """Beyond `flag` a check flags, beyond `invalid` (None: never) it invalidates."""

    flag: float
    invalid: float | None = None


@attrs.frozen(kw_only=True)
class CertificationThresholds:
    """Limits of every check; shares are of 1, times in seconds.

    A delay's limit is the larger of its share (of median TPOT or TTFT) and its floor.
    `min_requests`: below this many requests a percentile is not judged. `template_tokens_most`:
    the longest chat template that is believed without having been counted (our choice).
    `energy_counter_off`: how far a device's energy counter may be from the integral of its power
    (our choice: a counter that stands still, or counts in another unit, is far beyond it).
    `stability_noise` is the 99 % point of the studentised range of 3 means with 27 degrees of
    freedom (4.495 by scipy.stats.studentized_range, version 1.17.1): the worst of five repeats
    counts, and is beyond it by chance in one point of twenty.
    """

    loop_delay_share: Limits = Limits(flag=0.05, invalid=0.20)
    loop_delay_floor_s: Limits = Limits(flag=1e-3, invalid=5e-3)
    dispatch_delay_share: Limits = Limits(flag=0.05, invalid=0.20)
    dispatch_delay_floor_s: Limits = Limits(flag=1e-3, invalid=20e-3)
    client_cpu_share: Limits = Limits(flag=0.85, invalid=0.97)
    coalesced_share: Limits = Limits(flag=0.01)
    coalesced_withhold_itl: float = 0.20
    offered_load: Limits = Limits(flag=0.98, invalid=0.90)
    output_length_share: Limits = Limits(flag=0.99, invalid=0.90)
    input_length_off: Limits = Limits(flag=0.02, invalid=0.10)
    failure_share: Limits = Limits(flag=0.0, invalid=0.05)
    prefix_cache_share: Limits = Limits(flag=0.01, invalid=0.10)
    server_off: Limits = Limits(flag=0.01, invalid=0.05)
    stability_spread: Limits = Limits(flag=0.05, invalid=0.20)
    stability_min_s: float = 20.0
    stability_min_generations: float = 3.0
    stability_noise: float = 4.49
    repeats_few: Limits = Limits(flag=0.10)
    repeats_many: Limits = Limits(flag=0.05)
    repeats_many_from: int = 5
    repeat_metrics: tuple[str, ...] = ("output_tok_s.steady", "tpot_s.p50")
    slowdown_share: float = 0.01
    clock_of_peers: float = 0.7
    telemetry_gap_s: float = 3.0
    energy_counter_off: float = 0.2
    saturated_served_share: float = 0.95
    saturated_waiting_share: float = 0.5
    min_requests: int = 10
    template_tokens_most: int = 64


# Here less is worse, so what invalidates lies below what flags.
_FROM_BELOW = frozenset({"offered_load", "output_length_share"})


def thresholds_from(data: Mapping[str, Any]) -> CertificationThresholds:
    """The table's limits, changed as a suite's ``certification:`` says.

    ``{"client_cpu_share": {"flag": 0.9, "invalid": 0.99}, "telemetry_gap_s": 5}``: what is not
    named keeps its value; an `invalid` of None never invalidates.

    Raises:
        ValueError: the path of what is wrong, and why.
    """
    usual = CertificationThresholds()
    names = attrs.fields_dict(CertificationThresholds)
    changes = {}
    for name, value in data.items():
        _known(str(name), names, "")
        changes[name] = _value(name, value, getattr(usual, name))
    return attrs.evolve(usual, **changes)


def _known(name: str, names: Mapping[str, Any], where: str) -> None:
    if name in names:
        return
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"expected one of {', '.join(names)}"
    raise ValueError(f"{where}{name}: unknown; {hint}")


def _value(path: str, value: Any, usual: Any) -> Any:
    if isinstance(usual, Limits):
        return _limits(path, value, usual)
    if isinstance(usual, tuple):
        return _metrics(path, value)
    if isinstance(usual, int):
        return _whole(path, value)
    return _number(path, value)


def _limits(path: str, value: Any, usual: Limits) -> Limits:
    if not isinstance(value, Mapping):
        raise ValueError(f"{path}: expected flag and invalid, got {_shown(value)}")
    for name in value:
        _known(str(name), attrs.fields_dict(Limits), f"{path}.")
    flag = _number(f"{path}.flag", value["flag"]) if "flag" in value else usual.flag
    invalid = usual.invalid
    if "invalid" in value:
        given = value["invalid"]
        invalid = None if given is None else _number(f"{path}.invalid", given)
    if invalid is not None and (flag < invalid if path in _FROM_BELOW else flag > invalid):
        side = "below" if path in _FROM_BELOW else "above"
        raise ValueError(
            f"{path}: invalid ({invalid:g}) must not be less strict than flag ({flag:g}): "
            f"a value {side} flag is flagged, one {side} invalid is invalid"
        )
    return Limits(flag=flag, invalid=invalid)


def _number(path: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{path}: expected a number, got {_shown(value)}")
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{path}: expected a number that is not negative, got {value}")
    return float(value)


def _whole(path: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{path}: expected a whole number, got {_shown(value)}")
    if value < 0:
        raise ValueError(f"{path}: expected a number that is not negative, got {value}")
    return value


def _metrics(path: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"{path}: expected a list of metrics, got {_shown(value)}")
    for index, name in enumerate(value):
        _known(str(name), BY_NAME, f"{path}[{index}]: ")
    return tuple(value)


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
