"""The grading rule."""

from __future__ import annotations

import pytest
from tokenbench_eval_demo.grading import is_right


@pytest.mark.parametrize(
    ("answer", "accepted"),
    [
        ("The capital of Japan is Tokyo.", ["Tokyo"]),
        ("TOKYO", ["Tokyo"]),
        ("\n\n  **Tokyo**\nand more", ["Tokyo"]),
        ("It lies in South America, of course", ["South America"]),
        ("It is the Saint-Exupéry book", ["Saint-Exupéry"]),
        ("H₂O is its formula", ["H2O", "H₂O"]),
        ("about 100°C", ["100"]),
        ("the yuan (元)", ["renminbi", "yuan"]),
    ],
)
def test_accepts(answer: str, accepted: list[str]) -> None:
    """Case, punctuation, blank lines before and words around the answer are ignored."""
    assert is_right(answer, accepted)


@pytest.mark.parametrize(
    ("answer", "accepted"),
    [
        ("", ["Tokyo"]),
        ("\n \n", ["Tokyo"]),
        ("Kyoto", ["Tokyo"]),
        ("Tokyos", ["Tokyo"]),
        ("Let me think.\nTokyo", ["Tokyo"]),
        ("South of America", ["South America"]),
        ("1000", ["100"]),
        ("T o k y o", ["Tokyo"]),
        ("auburn", ["Au"]),
        ("@@@@@@@@@@@@@@@@", ["Tokyo"]),
    ],
)
def test_rejects(answer: str, accepted: list[str]) -> None:
    """Parts of words, later lines and other orders do not match."""
    assert not is_right(answer, accepted)
