"""Matches the points of two runs."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Sequence

import attrs

from tokenbench.api import Accuracy, Measurement, PointResult, PointState, UsageError

FIELDS = (
    *("model", "precision", "engine", "engine_version", "hardware", "accelerators", "layout"),
    *("roles", "speculation", "workload", "workload_options", "level"),
)
"""Fields that describe a point. Matched points have equal fields, or the same identity."""
ALWAYS_ACROSS = ("engine_version",)
"""Fields that matched points may differ in. Settings that no field shows may differ as well."""


@attrs.frozen(kw_only=True)
class Pair:
    """Two matched points. `differs`: the fields in which they differ; empty if the identity is the
    same. ``settings`` stands for flags, environment and everything else in a deployment's identity
    that has no field.
    """

    a: PointResult
    b: PointResult
    differs: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Unmatched:
    """A point that is not compared, and why."""

    point: PointResult
    reason: str


@attrs.frozen(kw_only=True)
class Matching:
    """The pairs, in the order of A, and the unmatched points of each run."""

    pairs: tuple[Pair, ...]
    only_a: tuple[Unmatched, ...]
    only_b: tuple[Unmatched, ...]


def match(
    a: Iterable[PointResult], b: Iterable[PointResult], across: Sequence[str] = ()
) -> Matching:
    """Match points by identity, and the others by their fields.

    Args:
        across: fields of `FIELDS` that matched points may differ in, besides `ALWAYS_ACROSS`.

    Raises:
        UsageError: `across` names no field of a point.
    """
    for name in across:
        if name not in FIELDS:
            raise UsageError(
                f"--across {name}: not a field of a point", hint=f"fields: {', '.join(FIELDS)}"
            )
    key_fields = [name for name in FIELDS if name not in {*across, *ALWAYS_ACROSS}]
    good_a, out_a = usable(a)
    good_b, out_b = usable(b)
    by_identity = {point.point: point for point in good_b}
    pairs: dict[str, Pair] = {}
    for point in good_a:
        if (other := by_identity.get(point.point)) is not None:
            pairs[point.point] = Pair(a=point, b=other)
    matched_b = {pair.b.point for pair in pairs.values()}
    rest_a = _grouped((p for p in good_a if p.point not in pairs), key_fields)
    rest_b = _grouped((p for p in good_b if p.point not in matched_b), key_fields)
    for key, mine in rest_a.items():
        theirs = rest_b.get(key, [])
        if len(mine) == len(theirs) == 1:
            pairs[mine[0].point] = Pair(
                a=mine[0], b=theirs[0], differs=_differences(mine[0], theirs[0])
            )
    return Matching(
        pairs=tuple(pairs[p.point] for p in good_a if p.point in pairs),
        only_a=(*out_a, *_left(rest_a, rest_b, _reasons(out_b, key_fields), ("A", "B"))),
        only_b=(*out_b, *_left(rest_b, rest_a, _reasons(out_a, key_fields), ("B", "A"))),
    )


def usable(points: Iterable[PointResult]) -> tuple[list[PointResult], list[Unmatched]]:
    """The points that may be compared, and the others with the reason."""
    good, out = [], []
    for point in points:
        if point.state is not PointState.DONE:
            out.append(Unmatched(point=point, reason=f"it {point.state}"))
        elif point.measurement is Measurement.INVALID:
            out.append(Unmatched(point=point, reason="its measurement is invalid"))
        elif point.accuracy is Accuracy.FAIL:
            out.append(Unmatched(point=point, reason="its accuracy failed"))
        else:
            good.append(point)
    return good, out


def _grouped(
    points: Iterable[PointResult], fields: Sequence[str]
) -> dict[tuple[object, ...], list[PointResult]]:
    groups: dict[tuple[object, ...], list[PointResult]] = collections.defaultdict(list)
    for point in points:
        groups[_key(point, fields)].append(point)
    return groups


def _reasons(left_out: Iterable[Unmatched], fields: Sequence[str]) -> dict[tuple[object, ...], str]:
    return {_key(one.point, fields): one.reason for one in left_out}


def _key(point: PointResult, fields: Sequence[str]) -> tuple[object, ...]:
    return tuple(getattr(point, name) for name in fields)


def _left(
    mine: dict[tuple[object, ...], list[PointResult]],
    theirs: dict[tuple[object, ...], list[PointResult]],
    left_out: dict[tuple[object, ...], str],
    sides: tuple[str, str],
) -> list[Unmatched]:
    """Points without a match. `left_out`: why a matching point of the other run is not compared."""
    here, there = sides
    left = []
    for key, points in mine.items():
        count = len(theirs.get(key, []))
        if len(points) == count == 1:
            continue
        reason = f"{there} has no such point"
        if key in left_out:
            reason = f"the matching point of {there} is not compared: {left_out[key]}"
        if count:
            reason = f"ambiguous: {len(points)} such points in {here}, {count} in {there}"
        left += [Unmatched(point=point, reason=reason) for point in points]
    return left


def _differences(a: PointResult, b: PointResult) -> tuple[str, ...]:
    """Differing fields with their values; ``settings`` if the deployments also differ outside of
    these fields.
    """
    found = [
        f"{name} {getattr(a, name)} -> {getattr(b, name)}"
        for name in FIELDS
        if getattr(a, name) != getattr(b, name)
    ]
    if not found:
        return ("settings" if a.deployment != b.deployment else "measurement settings",)
    return tuple(found)
