"""Subsets of an eval's questions."""

from __future__ import annotations

import collections

import numpy as np

from tokenbench.api import Question, stratified_subset

SIZES = {"a": 60, "b": 30, "c": 9, "d": 1}
QUESTIONS = [
    Question(id=f"{name}{number}", text="t", stratum=name)
    for name, size in SIZES.items()
    for number in range(size)
]


def test_each_stratum_has_its_share() -> None:
    """To about one question; nothing twice, and a larger limit adds questions."""
    for seed in range(50):
        chosen = stratified_subset(QUESTIONS, 20, seed)
        assert len({one.id for one in chosen}) == 20
        counts = collections.Counter(one.stratum for one in chosen)
        for name, size in SIZES.items():
            assert abs(counts[name] - size / 5) <= 1.5
        assert stratified_subset(QUESTIONS, 30, seed)[:20] == chosen
        assert stratified_subset(QUESTIONS, 20, seed) == chosen


def test_every_question_has_about_the_same_chance() -> None:
    """Also the only one of its stratum: the score of a subset is not biased."""
    drawn = collections.Counter(
        one.id for seed in range(1500) for one in stratified_subset(QUESTIONS, 20, seed)
    )
    shares = np.array([drawn[question.id] / 1500 for question in QUESTIONS])
    assert abs(shares.mean() - 0.2) < 1e-9
    assert shares.min() > 0.14 and shares.max() < 0.26


def test_all_questions_stay_as_they_are() -> None:
    """Without a limit, or with one that is not less."""
    for limit in (None, 100, 500):
        assert stratified_subset(QUESTIONS, limit, 1) == tuple(QUESTIONS)
