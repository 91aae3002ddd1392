"""Whether results are what the annotations of the API say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tokenbench.api import (
    Counters,
    Dialect,
    Engine,
    FrozenMap,
    LaunchPlan,
    ProcessSpec,
    Reporter,
    Session,
    TextPrompt,
    Turn,
)
from tokenbench.guard.types import mismatch, returns

PROCESS = ProcessSpec(argv=("a",))


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (True, bool),
        (3, float),
        (np.int64(3), float | None),
        (None, float | None),
        (Counters(running=np.float64(1)), Counters),
        (LaunchPlan(processes=(PROCESS,)), LaunchPlan),
        (LaunchPlan(processes=[PROCESS]), LaunchPlan),  # type: ignore[arg-type]
        ({"a": "b"}, FrozenMap[str]),
        (["a"], tuple[str, ...]),
        ((1, "a"), tuple[int, str]),
        (Turn(prompt=TextPrompt("a"), max_tokens=1), returns(Session, "next")),
        ((), returns(Session, "next")),
    ],
)
def test_what_fits(value: Any, hint: Any) -> None:
    """Also numbers of numpy, lists for tuples and mappings for FrozenMap."""
    assert mismatch(value, hint) is None


@pytest.mark.parametrize(
    ("value", "hint", "problem"),
    [
        (1, bool, "an int, expected bool"),
        (True, int, "a bool, expected int"),
        ("a", tuple[str, ...], "a str, expected tuple"),
        (None, returns(Engine, "plan"), "None, expected LaunchPlan"),
        ("x", returns(Engine, "quiescent"), "a str, expected bool or None"),
        (LaunchPlan(processes=("a",)), LaunchPlan, "processes[0]: a str, expected ProcessSpec"),
        (
            LaunchPlan(processes=(ProcessSpec(argv="sleep 1"),)),  # type: ignore[arg-type]
            LaunchPlan,
            "processes[0].argv: a str, expected tuple",
        ),
        (Dialect(codecs=(1,)), Dialect, "codecs[0]: an int, expected str"),  # type: ignore[arg-type]
        (Counters(running="2"), Counters, "running: a str, expected float or None"),  # type: ignore[arg-type]
        (FrozenMap({"a": 1}), FrozenMap[str], "['a']: an int, expected str"),
        ([b"page"], returns(Reporter, "render"), "[0]: a bytes, expected Artifact"),
        (
            (Turn(prompt="text", max_tokens=1),),  # type: ignore[arg-type]
            returns(Session, "next"),
            "[0].prompt: a str, expected TokenPrompt or TextPrompt or ChatPrompt or BatchPrompt",
        ),
    ],
)
def test_what_does_not_fit(value: Any, hint: Any, problem: str) -> None:
    """The path to the value, what it is and what it should be."""
    assert mismatch(value, hint) == problem
