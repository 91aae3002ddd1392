"""Two results of one eval on the same questions: pairing, McNemar's test, the interval."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tokenbench.compare.paired import (
    Grade,
    compare_grades,
    difference_interval,
    mcnemar,
    pair_evals,
)

FACTS = {
    "model": "m",
    "precision": "fp8",
    "engine": "e",
    "engine_version": "1",
    "hardware": "h",
    "accelerators": 1,
    "layout": "tp1",
    "roles": None,
    "speculation": "none",
}


def outcome(deployment: str, **more: Any) -> Any:
    """An eval's outcome, as far as it is compared."""
    return SimpleNamespace(
        deployment=deployment, **{"eval": "v", "variant": "1", "metric": "m", **more}
    )


def point(deployment: str, **more: Any) -> Any:
    """A point of a deployment."""
    return SimpleNamespace(deployment=deployment, **{**FACTS, **more})


def test_mcnemar_by_hand() -> None:
    """2 of 12 discordant pairs on one side: 2 (1 + 12 + 66) / 4096; equal sides: 1."""
    assert mcnemar(2, 10) == pytest.approx(2 * 79 / 4096)
    assert mcnemar(10, 2) == mcnemar(2, 10)
    assert mcnemar(7, 7) == mcnemar(0, 0) == 1.0
    assert mcnemar(3000, 3300) < 0.001


def test_interval_by_hand() -> None:
    """Of 98 questions, 4 and 9 discordant: 0.05, with 1.96 sqrt((0.15 - 0.05^2) / 100)."""
    low, high = difference_interval(4, 9, 98)
    spread = 1.959964 * math.sqrt((0.15 - 0.05**2) / 100)
    assert (low, high) == pytest.approx((0.05 - spread, 0.05 + spread), abs=1e-6)


def test_error_rate_and_coverage_by_simulation() -> None:
    """Two models of equal accuracy differ in 10 % of 400 questions: at most 5 % are called
    different, and the interval holds 0 in 93 to 98 %.
    """
    dice = np.random.default_rng(3)
    sides = dice.multinomial(400, [0.05, 0.05, 0.9], size=2000)
    false = np.mean([mcnemar(int(a), int(b)) < 0.05 for a, b, _ in sides])
    held = np.mean(
        [
            low <= 0 <= high
            for low, high in (difference_interval(int(a), int(b), 400) for a, b, _ in sides)
        ]
    )
    assert false <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)
    assert 0.93 <= held <= 0.98


def grades(scores: str, start: int = 0, text: str = "t") -> dict[str, Grade]:
    """Grades of questions with consecutive ids."""
    return {
        str(number): Grade(score=float(score), digest=text)
        for number, score in enumerate(scores, start)
    }


def test_only_questions_of_both_sides_count() -> None:
    """One run stopped early, or asked a subset."""
    found = compare_grades(
        outcome("a"), outcome("b"), (), (grades("1110"), grades("0110", start=1))
    )
    # Questions 1 to 3: 1 1 0 and 0 1 1.
    assert (found.n, found.only_a, found.only_b) == (3, 1, 1)
    assert (found.a, found.b, found.difference, found.p_value) == (2 / 3, 2 / 3, 0.0, 1.0)


def test_questions_with_the_same_id_and_another_text_are_not_the_same() -> None:
    """Another data file, another seed."""
    found = compare_grades(outcome("a"), outcome("b"), (), (grades("11"), grades("11", text="u")))
    assert found.problem == "no question has a grade on both sides"


def test_partial_scores_are_not_compared() -> None:
    """The test is for right and wrong."""
    half = {"0": Grade(score=0.5, digest="t")}
    found = compare_grades(outcome("a"), outcome("b"), (), (half, grades("1")))
    assert found.problem == "answers have partial scores"


def test_deployments_are_paired_by_identity_then_by_description() -> None:
    """Among several; what they differ in is told."""
    a = [outcome("x"), outcome("y")]
    b = [outcome("y2"), outcome("x")]
    points = (
        [point("x"), point("y", precision="fp4")],
        [point("x"), point("y2", precision="fp4", engine_version="2")],
    )
    found = pair_evals(a, b, points)
    assert [(one.deployment, other.deployment) for one, other, _ in found] == [
        ("x", "x"),
        ("y", "y2"),
    ]
    assert found[1][2] == ("engine_version 1 -> 2",)


def test_across_and_single_deployments() -> None:
    """Two precisions of several engines by `--across`; the only one of each run in any case."""
    a = [outcome("x"), outcome("y")]
    b = [outcome("u"), outcome("v")]
    points = (
        [point("x"), point("y", engine="f")],
        [point("u", precision="fp4"), point("v", precision="fp4", engine="f")],
    )
    assert pair_evals(a, b, points) == []
    found = pair_evals(a, b, points, across=("precision",))
    assert [(one.deployment, other.deployment) for one, other, _ in found] == [
        ("x", "u"),
        ("y", "v"),
    ]
    ((_, _, differs),) = pair_evals(a[:1], b[1:], points)
    assert differs == ("precision fp8 -> fp4", "engine e -> f")
    assert pair_evals([outcome("x", variant="2")], b[:1], points) == []
