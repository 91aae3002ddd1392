"""Evals of two runs, compared question by question: as text, and as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tokenbench.api import EvalOutcome, RunView
from tokenbench.compare.paired import Grade, Grades, PairedEval, compare_grades, pair_evals
from tokenbench.plan.canonical import plain
from tokenbench.store.samples import read_sample_lines

from .compare_blocks import Block

_CLEAR = 0.05


def paired_evals(
    paths: tuple[Path, Path], views: tuple[RunView, RunView], across: Sequence[str]
) -> list[PairedEval]:
    """All evals that both runs asked."""
    a, b = ([one for one in view.evals if one.value is not None] for view in views)
    pairs = pair_evals(a, b, (views[0].results, views[1].results), across)
    return [
        compare_grades(one, other, differs, (_grades(paths[0], one), _grades(paths[1], other)))
        for one, other, differs in pairs
    ]


def _grades(run: Path, outcome: EvalOutcome) -> Grades:
    lines = read_sample_lines(run / "evals" / outcome.deployment / outcome.eval / "samples.jsonl")
    return {
        line["question"]: Grade(score=float(line["score"]), digest=line.get("digest"))
        for line in lines
        if isinstance(line.get("score"), int | float)
    }


def eval_blocks(evals: Sequence[PairedEval]) -> Iterator[Block]:
    """One block per eval."""
    for one in evals:
        lines = ("; ".join(one.differs),) if one.differs else ()
        yield Block(heading=f"eval {one.eval} ({one.variant})", lines=(*lines, *_found(one)))


def _found(one: PairedEval) -> Iterator[str]:
    if one.problem is not None or one.interval is None or one.p_value is None:
        yield f"  not compared: {one.problem}"
        return
    low, high = (f"{100 * end:+.1f}" for end in one.interval)
    yield (
        f"  A {one.a:.3f}, B {one.b:.3f} on the same {one.n:,} questions: "
        f"{100 * (one.difference or 0.0):+.1f} points [{low}, {high}], "
        f"p = {one.p_value:.2g} (McNemar)"
    )
    verdict = "no significant difference"
    if one.p_value < _CLEAR:
        verdict = "B is worse" if (one.difference or 0.0) < 0 else "B is better"
    yield f"  right in A only {one.only_a}, in B only {one.only_b}: {verdict}"


def eval_data(evals: Sequence[PairedEval]) -> list[dict[str, Any]]:
    """The same as plain data."""
    return [plain(one) for one in evals]
