"""Metrics pages: what the parser keeps, against prometheus_client's own output and real pages."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client import Histogram as ClientHistogram
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from tokenbench.api import FrozenMap, MetricsPage, merge_pages, parse_metrics

_VALUES = st.floats(allow_nan=True, allow_infinity=True)
_TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
_LABELS = st.tuples(_TEXTS, _TEXTS)
GENERATORS = pytest.mark.parametrize("generate", [generate_latest, generate_openmetrics])


def _text(generate, registry: CollectorRegistry) -> str:
    text: str = generate(registry).decode()
    return text


def test_awkward_lines() -> None:
    """Any characters in labels, timestamps, exemplars, special values; other lines are skipped."""
    page = parse_metrics(
        """# HELP a help
a{x="1",y="}\\"{\\\\\\n",} 1
a{x="2"} 2.5 1700000000000
b 1e3 # {trace="x"} 1
 c  NaN\r
d +Inf
{"dotted.name", x="1"} 7
half{x="1 2
e 1_000
a{x="2"
not a sample
# EOF
"""
    )
    assert page.series("a")[0].labels == FrozenMap(x="1", y='}"{\\\n')
    assert page.sum("a") == 3.5 and page.sum("a", x="2") == 2.5 and page.sum("a", x="3") is None
    assert page.sum("b") == 1000.0
    assert page.sum("dotted.name") == 7.0
    assert math.isnan(page.series("c")[0].value) and page.series("d")[0].value == math.inf
    assert page.sum("c") is page.max("c") is page.sum("d") is page.sum("absent") is None
    assert set(page.samples) == {"a", "b", "c", "d", "dotted.name"}


def test_a_line_separator_of_another_format_is_part_of_a_label() -> None:
    """Only a newline ends a line."""
    page = parse_metrics('a{x="one\u2028\x0btwo"} 1\nb 2\n')
    assert page.series("a")[0].labels["x"] == "one\u2028\x0btwo"
    assert page.sum("b") == 2


@GENERATORS
@settings(max_examples=60, deadline=None)
@given(series=st.dictionaries(_LABELS, _VALUES, max_size=5))
def test_gauges_are_read_as_they_were_written(generate, series) -> None:
    """By prometheus_client's generators: all labels, all values, also NaN and infinities."""
    registry = CollectorRegistry()
    gauge = Gauge("a_level", 'a "help"\n# TYPE a_level counter', ["x", "y"], registry=registry)
    for labels, value in series.items():
        gauge.labels(*labels).set(value)
    page = parse_metrics(_text(generate, registry))
    found = {(s.labels["x"], s.labels["y"]): s.value for s in page.series("a_level")}
    assert found.keys() == series.keys()
    for labels, value in series.items():
        assert found[labels] == value or (math.isnan(value) and math.isnan(found[labels]))
    finite = [value for value in series.values() if math.isfinite(value)]
    assert page.max("a_level") == max(finite, default=None)


@GENERATORS
@settings(max_examples=40, deadline=None)
@given(
    observed=st.lists(st.tuples(st.sampled_from("ab"), st.floats(0.0, 50.0)), max_size=30),
    later=st.lists(st.tuples(st.sampled_from("ab"), st.floats(0.0, 50.0)), max_size=30),
)
def test_histograms_add_up_and_subtract(generate, observed, later) -> None:
    """Sum and count over labels; the difference of two pages is what came between."""
    registry = CollectorRegistry()
    histogram = ClientHistogram("t_seconds", "help", ["engine"], registry=registry)
    served = Counter("served", "help", ["engine"], registry=registry)
    for engine in "ab":  # Series exist before their first observation, as in real servers.
        histogram.labels(engine)
        served.labels(engine)

    def observe(values) -> MetricsPage:
        for engine, value in values:
            histogram.labels(engine).observe(value)
            served.labels(engine).inc()
        return parse_metrics(_text(generate, registry))

    before, after = observe(observed), observe(later)
    start, end = before.histogram("t_seconds"), after.histogram("t_seconds")
    assert start is not None and end is not None
    values = [value for _, value in later]
    between = end.since(start)
    assert between is not None
    assert between.count == len(later)
    assert between.sum == pytest.approx(sum(values), abs=1e-6)
    one = after.histogram("t_seconds", engine="a")
    assert one is not None and one.count == after.sum("served_total", engine="a")
    if later:
        assert start.since(end) is None


def test_a_summary_has_sum_and_count() -> None:
    """Its quantiles are not read."""
    page = parse_metrics('# TYPE s summary\ns{quantile="0.5"} 3\ns_sum 12\ns_count 4\n')
    found = page.histogram("s")
    assert found is not None and found.mean == 3.0
    assert parse_metrics("s_sum 12\n").histogram("s") is None


def test_pages_of_several_processes_are_merged() -> None:
    """Sums are sums over all; the largest gauge is that of the fullest."""
    pages = [
        parse_metrics(f"# TYPE n counter\nn_total {n}\nuse {use}\n", role="decode", index=index)
        for index, (n, use) in enumerate([(3, 0.5), (4, 0.25)])
    ]
    both = merge_pages(pages)
    assert (both.sum("n_total"), both.max("use"), both.mean("use")) == (7.0, 0.5, 0.375)
    assert (both.role, both.index) == ("decode", 0)
    assert merge_pages([]) == MetricsPage()
