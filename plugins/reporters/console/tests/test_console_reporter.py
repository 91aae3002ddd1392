"""The table in the terminal, at any width and with untrusted text."""

from __future__ import annotations

import attrs
import pytest
from tokenbench_reporter_console.columns import COLUMNS
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
    PluginContext,
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
    (artifact,) = spec.factory(ConsoleOptions(all=show_all), PluginContext()).render(view)
    return artifact.content.decode()


def test_values_have_units_and_intervals() -> None:
    """Milliseconds in the table, seconds in the data; no column for an unmeasured metric."""
    text = _show(_result())
    assert "1,234.6 ± 12.3" in text
    assert " 52 ± 1" in text
    assert "tok/s/user" in text
    assert "energy" not in text
    assert "eng 1.0" in text and "8 x h200, tp8" in text


@pytest.mark.parametrize("width", [60, 80, *range(100, 140), 200])
def test_the_table_fits_the_terminal(width: int) -> None:
    """Columns are omitted, numbers and headings are not truncated."""
    stalled = _result(100_000, state=PointState.STALLED, measurement=Measurement.FLAGGED)
    first = next(iter(METRICS.values()))
    every = FrozenMap({column.metric: first for column in COLUMNS})
    for metrics in (METRICS, every):
        results = [attrs.evolve(r, metrics=metrics) for r in (_result(1), _result(16), stalled)]
        _check_fits(_show(*results, width=width), width)


def _check_fits(text: str, width: int) -> None:
    assert "measurement" in text and "c100000" in text and "…" not in text
    rows = [line for line in text.splitlines() if "certified" in line]
    assert len(rows) == 2
    assert all(len(line) <= width for line in rows)
    assert all("1,234." in line for line in rows)


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


def test_checks_with_too_little_data_are_listed() -> None:
    """With what would do; checks that do not apply are not."""
    text = "too short to judge: 8.0 s; --duration 40"
    short = Check(name="stability", outcome=CheckOutcome.TOO_SHORT, evidence=text)
    other = Check(name="lengths", outcome=CheckOutcome.NOT_ASSESSED, evidence="no length asked")
    shown = _show(_result(checks=(short, other)))
    assert f"c4: too short: stability: {text}" in shown
    assert "no length asked" not in shown


def test_untrusted_text_is_escaped() -> None:
    """Markup is shown as text; escape sequences are removed."""
    result = _result(state=PointState.FAILED, error="[red]x[/red] \x1b[31mred\x1b[0m\x07 end")
    text = _show(result, show_all=True)
    assert "[red]x[/red] red end" in text
    assert "\x1b" not in text and "\x07" not in text


@pytest.mark.parametrize(
    ("half_width", "method", "line"),
    [
        (None, None, "no confidence interval: the steady state is too short"),
        (0.5, "repeats", "± is the half-width of the 95 % CI over repeats"),
        (0.5, "batch means", "by batch means of one steady state"),
    ],
)
def test_a_line_says_what_the_interval_is(
    half_width: float | None, method: str | None, line: str
) -> None:
    """Over repeats, by batch means of one, or none."""
    single = Estimate(mean=5.0, half_width=half_width, values=(5.0,), method=method)
    text = _show(_result(repeats=1, metrics=FrozenMap({"output_tok_s.steady": single})))
    assert line in text


def test_a_server_that_was_up_is_named() -> None:
    """Its hardware is unknown: the client's is not shown."""
    text = _show(_result(server="127.0.0.1:8000"))
    assert "server 127.0.0.1:8000" in text
    assert "h200" not in text


def test_counters_have_columns_where_they_say_something() -> None:
    """Retries and preemptions only if there were any; a saturated server is named."""
    some = {name: Estimate(mean=2.0, half_width=None, values=(2.0,)) for name in ("retries",)}
    none = {"retries": Estimate(mean=0.0, half_width=None, values=(0.0,))}
    assert "retries" in _show(_result(metrics=FrozenMap(some)))
    assert "retries" not in _show(_result(metrics=FrozenMap(none)))
    assert "saturated" in _show(_result(saturated=True))


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
    assert "no point to show" in text
    assert "run failed: the engine died" in text
