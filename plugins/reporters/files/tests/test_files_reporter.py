"""Results as files: complete, deterministic, and safe in a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
import re

import pyarrow.parquet as pq
import pytest
from tokenbench_reporter_files.plugin import FilesOptions, bench_register_reporters

from tokenbench.api import (
    Estimate,
    FrozenMap,
    LoadLevel,
    Measurement,
    MetricDefinition,
    PluginContext,
    PointResult,
    PointState,
    RunView,
    UsageError,
    View,
)


def _result(**changes: object) -> PointResult:
    facts = {
        "point": "abc",
        "run": "r",
        "deployment": "d",
        "engine": "e",
        "engine_version": None,
        "model": "m",
        "precision": "q4",
        "hardware": "cpu",
        "accelerators": 1,
        "layout": "tp1",
        "workload": "random",
        "workload_options": FrozenMap({"input_tokens": 8}),
        "level": LoadLevel(concurrency=2),
        "state": PointState.DONE,
        "repeats": 3,
        "metrics": FrozenMap(
            {
                "a": Estimate(mean=1.5, half_width=0.1, values=(1.4, 1.5, 1.6)),
                "b": Estimate(mean=None, half_width=None, values=(None, None, None)),
                "c": Estimate(mean=0.0, half_width=None, values=(0.0,)),
            }
        ),
        "measurement": Measurement.CERTIFIED,
        "checks": (),
        **changes,
    }
    return PointResult(**facts)


def _view(*results: PointResult) -> View:
    run = RunView(
        id="r",
        path="runs/r",
        name="n",
        started="",
        finished=None,
        state="complete",
        results=results,
        evals=(),
        provenance=FrozenMap({"seed": "0"}),
    )
    definition = MetricDefinition(name="a", title="A", unit="s", definition="definition of a")
    return View(runs=(run,), definitions=(definition,))


def _render(view: View, *formats: str, describe: bool = False):  # noqa: ANN202
    (spec,) = bench_register_reporters()
    return list(
        spec.factory(FilesOptions(formats=formats, describe=describe), PluginContext()).render(view)
    )


def test_json_is_complete() -> None:
    """Results, provenance and definitions in one document."""
    (artifact,) = _render(_view(_result()), "json")
    document = json.loads(artifact.content)
    assert document["runs"][0]["results"][0]["metrics"]["a"]["values"] == [1.4, 1.5, 1.6]
    assert document["runs"][0]["provenance"] == {"seed": "0"}
    assert document["definitions"][0]["definition"] == "definition of a"


def test_csv_is_flat() -> None:
    """One row per point, with mean and half-width; None is empty, 0 is 0."""
    (artifact,) = _render(_view(_result(), _result(point="x")), "csv")
    rows = list(csv.DictReader(io.StringIO(artifact.content.decode())))
    assert [row["point"] for row in rows] == ["abc", "x"]
    assert (rows[0]["a"], rows[0]["a.half_width"]) == ("1.5", "0.1")
    assert (rows[0]["b"], rows[0]["c"]) == ("", "0.0")


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-x", "@sum"])
def test_no_cell_is_a_formula(text: str) -> None:
    """A spreadsheet must not execute a server's text."""
    (artifact,) = _render(_view(_result(error=text)), "csv")
    (row,) = csv.DictReader(io.StringIO(artifact.content.decode()))
    assert row["error"] == f"'{text}"


def test_parquet_and_deterministic_bytes() -> None:
    """The same view gives the same bytes in every format."""
    view = _view(_result())
    first, second = _render(view, "json", "csv", "parquet"), _render(view, "json", "csv", "parquet")
    assert [a.content for a in first] == [a.content for a in second]
    table = pq.read_table(io.BytesIO(first[2].content))
    assert table["a"].to_pylist() == [1.5]
    assert table["b"].to_pylist() == [None]


def test_an_empty_run_and_an_unknown_format() -> None:
    """An empty run is valid; an unknown format is an error, and so is none."""
    assert len(_render(_view(), "json", "csv", "parquet")) == 3
    with pytest.raises(ValueError, match=r"formats: expected one of .*, got 'xml'"):
        _render(_view(), "xml")
    with pytest.raises(UsageError, match="no format is given"):
        _render(_view())


def _described(text: str) -> dict[str, tuple[str, str]]:
    """Column to unit and meaning."""
    rows = re.findall(r"^\| `(.+?)` \| (.*?) ?\| (.*) \|$", text, re.MULTILINE)
    return {name: (unit, meaning) for name, unit, meaning in rows}


def test_parquet_columns_have_unit_and_description() -> None:
    """In the metadata of each field, which pyarrow and other readers show."""
    (artifact,) = _render(_view(_result()), "parquet")
    schema = pq.read_schema(io.BytesIO(artifact.content))
    assert schema.field("a").metadata[b"unit"] == b"s"
    assert b"definition of a" in schema.field("a").metadata[b"description"]
    assert schema.field("accelerators").metadata[b"unit"] == b"accelerators"


def test_columns_without_a_definition_and_no_columns() -> None:
    """A metric of a later version has no meaning here; a run without points has no columns."""
    (_, page) = _render(_view(_result()), "csv", describe=True)
    assert _described(page.content.decode())["b"] == ("", "")
    (_, empty) = _render(_view(), "csv", describe=True)
    assert _described(empty.content.decode()) == {}
