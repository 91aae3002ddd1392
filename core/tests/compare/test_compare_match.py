"""Which points are compared, and what is said of the others."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from tokenbench.api import (
    Accuracy,
    FrozenMap,
    LoadLevel,
    Measurement,
    PointResult,
    PointState,
    UsageError,
)
from tokenbench.compare.match import match


def _point(concurrency: int = 1, **changes: Any) -> PointResult:
    facts: dict[str, Any] = {
        "point": f"p{concurrency}",
        "run": "r",
        "deployment": "d",
        "engine": "e",
        "engine_version": "1",
        "model": "m",
        "precision": "fp8",
        "hardware": "h100",
        "accelerators": 8,
        "layout": "tp8",
        "workload": "w",
        "workload_options": FrozenMap({}),
        "level": LoadLevel(concurrency=concurrency),
        "state": PointState.DONE,
        "repeats": 3,
        "metrics": FrozenMap({}),
        "measurement": Measurement.CERTIFIED,
        "checks": (),
    }
    return PointResult(**{**facts, **changes})


def test_identity_comes_first() -> None:
    """A point of the same identity is taken, although another one has the same description."""
    twin = _point(point="other")
    found = match([_point()], [twin, _point()])
    assert [(p.b.point, p.differs) for p in found.pairs] == [("p1", ())]
    assert [u.reason for u in found.only_b] == ["A has no such point"]


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"engine_version": "2"}, ("engine_version 1 -> 2",)),
        ({"deployment": "d2"}, ("settings",)),
        ({}, ("measurement settings",)),
    ],
)
def test_version_and_settings_may_differ(changes: dict[str, Any], differs: tuple[str, ...]) -> None:
    """And the match says which."""
    found = match([_point()], [_point(point="new", **changes)])
    assert found.pairs[0].differs == differs
    assert not found.only_a and not found.only_b


@pytest.mark.parametrize(
    "changes",
    [
        {"hardware": "h200"},
        {"precision": "fp4"},
        {"layout": "tp4"},
        {"accelerators": 4},
        {"speculation": "mtp"},
        {"roles": FrozenMap({"prefill": 4, "decode": 4})},
        {"level": LoadLevel(concurrency=2)},
        {"level": LoadLevel(rate_per_s=1.0)},
        {"workload_options": FrozenMap({"input_tokens": 1})},
        {"model": "n"},
        {"engine": "f"},
    ],
)
def test_other_differences_need_across(changes: dict[str, Any]) -> None:
    """Points that differ in anything else match only if the user says so."""
    (field,) = changes
    other = _point(point="new", **changes)
    found = match([_point()], [other])
    assert not found.pairs
    assert (found.only_a[0].reason, found.only_b[0].reason) == (
        "B has no such point",
        "A has no such point",
    )
    wide = match([_point()], [other], [field])
    assert wide.pairs[0].differs == (f"{field} {getattr(_point(), field)} -> {changes[field]}",)


def test_ambiguous_points_are_not_guessed() -> None:
    """Two settings in A and one in B: none is compared, and both sides say why."""
    mine = [_point(point="a1", deployment="d1"), _point(point="a2", deployment="d2")]
    found = match(mine, [_point(point="b")])
    assert not found.pairs and len(found.only_a) == 2 and len(found.only_b) == 1
    assert found.only_a[0].reason == "ambiguous: 2 such points in A, 1 in B"
    assert found.only_b[0].reason == "ambiguous: 1 such points in B, 2 in A"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": PointState.STALLED}, "it stalled"),
        ({"measurement": Measurement.INVALID}, "its measurement is invalid"),
        ({"accuracy": Accuracy.FAIL}, "its accuracy failed"),
    ],
)
def test_bad_points_are_left_out(changes: dict[str, Any], reason: str) -> None:
    """On their own side; the other side has no partner then."""
    found = match([attrs.evolve(_point(), **changes)], [_point()])
    assert not found.pairs
    assert [u.reason for u in found.only_a] == [reason]
    assert [u.reason for u in found.only_b] == [
        f"the matching point of A is not compared: {reason}"
    ]


def test_unknown_field() -> None:
    """The hint has the fields."""
    with pytest.raises(UsageError, match="--across colour") as caught:
        match([], [], ["colour"])
    assert "hardware" in caught.value.hint
