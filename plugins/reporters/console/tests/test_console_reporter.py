"""The table in the terminal, at any width and with untrusted text."""

from __future__ import annotations

import pytest
from tokenbench_reporter_console.plugin import ConsoleOptions, bench_register_reporters

from tokenbench.api import (
    Accuracy,
    Check,
    CheckOutcome,
    Estimate,
    EvalOutcome,
    FrozenMap,
    LoadLevel,
    Measurement,
    PointResult,
    PointState,
    RunView,
    View,
)

METRICS = FrozenMap(
    {
        "output_tok_s.steady": Estimate(mean=1234.56, half_width=12.3, values=(1, 2, 3)),
        "ttft_s.p50": Estimate(mean=0.052, half_width=0.001, values=(1, 2, 3)),
        "tpot_s.p50": Estimate(mean=0.01, half_width=0.0001, values=(1, 2, 3)),
        "interactivity_tok_s.p50": Estimate(mean=100.0, half_width=None, values=(1, 2, 3)),
        "energy_j_per_output_token.accelerator": Estimate(
            mean=None, half_width=None, values=(None, None, None)
        ),
    }
)


def _result(concurrency: int = 4, **changes: object) -> PointResult:
    facts = {
        "point": "p",
        "run": "r",
        "deployment": "d",
        "engine": "eng",
        "engine_version": "eng 1.0",
        "model": "model",
        "precision": "fp8",
        "hardware": "h200",
        "accelerators": 8,
        "layout": "tp8",
        "workload": "random",
        "workload_options": FrozenMap({"input_tokens": 1024}),
        "level": LoadLevel(concurrency=concurrency),
        "state": PointState.DONE,
        "repeats": 3,
        "metrics": METRICS,
        "measurement": Measurement.CERTIFIED,
        "checks": (),
        **changes,
    }
    return PointResult(**facts)


def _show(*results: PointResult, width: int = 120, show_all: bool = False, **run: object) -> str:
    facts = {
        "id": "r",
        "path": "runs/r",
        "name": "n",
        "started": "",
        "finished": "",
        "state": "complete",
        "results": results,
        "evals": (),
        "provenance": FrozenMap(),
        **run,
    }
    (spec,) = bench_register_reporters()
    view = View(runs=(RunView(**facts),), definitions=(), width=width)
    (artifact,) = spec.factory(ConsoleOptions(all=show_all)).render(view)
    return artifact.content.decode()


def test_values_have_units_and_intervals() -> None:
    """Milliseconds in the table, seconds in the data; no column for an unmeasured metric."""
    text = _show(_result())
    assert "1,234.6 ± 12.3" in text
    assert " 52 ± 1" in text
    assert "tok/s/user" in text
    assert "energy" not in text
    assert "eng 1.0" in text and "8 x h200, tp8" in text


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_table_fits_the_terminal(width: int) -> None:
    """Columns are omitted, numbers are not truncated."""
    text = _show(_result(1), _result(16), width=width)
    rows = [line for line in text.splitlines() if "certified" in line]
    assert len(rows) == 2
    assert all(len(line) <= width for line in rows)
    assert all("1,234.6" in line for line in rows)


def test_invalid_and_failed_points_are_hidden_by_default() -> None:
    """With the reason, and how to show them."""
    bad = _result(8, measurement=Measurement.INVALID)
    wrong = _result(16, accuracy=Accuracy.FAIL)
    text = _show(_result(4), bad, wrong)
    assert "hidden: c8 (invalid), c16 (accuracy failed)" in text
    assert "console:all=true" in text
    assert "hidden" not in _show(bad, show_all=True)


def test_flagged_checks_are_listed() -> None:
    """The check and its evidence."""
    check = Check(name="repeats", outcome=CheckOutcome.FLAGGED, evidence="95 % CI is ±20.0 %")
    text = _show(_result(measurement=Measurement.FLAGGED, checks=(check,)))
    assert "c4: flagged: repeats: 95 % CI is ±20.0 %" in text


def test_unassessed_repeats_are_listed() -> None:
    """If the evidence has the interval's width; not for too few repeats."""
    outcome = CheckOutcome.NOT_ASSESSED
    wide = Check(name="repeats", outcome=outcome, evidence="95 % CI of tpot_s.p50 is ±97.1 %")
    text = _show(_result(checks=(wide,)))
    assert "c4: repeats not assessed: 95 % CI of tpot_s.p50 is ±97.1 %" in text
    one = Check(name="repeats", outcome=outcome, evidence="an interval needs 3 repeats, got 1")
    assert "not assessed" not in _show(_result(checks=(one,)))


def test_untrusted_text_is_escaped() -> None:
    """Markup is shown as text; escape sequences are removed."""
    result = _result(state=PointState.FAILED, error="[red]x[/red] \x1b[31mred\x1b[0m\x07 end")
    text = _show(result, show_all=True)
    assert "[red]x[/red] red end" in text
    assert "\x1b" not in text and "\x07" not in text


def test_few_repeats_have_no_interval() -> None:
    """A line says so."""
    single = Estimate(mean=5.0, half_width=None, values=(5.0,))
    text = _show(_result(repeats=1, metrics=FrozenMap({"output_tok_s.steady": single})))
    assert "no confidence interval with fewer than 3 repeats" in text


def test_evals_with_and_without_a_threshold() -> None:
    """Without a threshold there is no verdict."""
    facts = {
        "deployment": "d",
        "metric": "exact",
        "value": 0.6,
        "n": 40,
        "variant": "v1",
        "interval": (0.4, 0.7),
    }
    gate = EvalOutcome(eval="demo", accuracy=Accuracy.PASS, threshold=0.28, **facts)
    score = EvalOutcome(eval="other", accuracy=Accuracy.NOT_RUN, **facts)
    text = _show(_result(), evals=(gate, score))
    assert "eval demo: pass: 0.600 [0.400, 0.700] of 40 questions, threshold 0.28" in text
    assert "eval other: score: 0.600" in text


def test_empty_and_failed_runs() -> None:
    """With the state and the error."""
    text = _show(state="failed", error="the engine died")
    assert "no point was measured" in text
    assert "run failed: the engine died" in text
