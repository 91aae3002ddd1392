"""Results: JSON lines with a schema version, the flat table, and the view of a run."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest

from tokenbench.api import EvalOutcome, FrozenMap, LoadLevel, PointResult, PointState, UsageError
from tokenbench.plan.canonical import plain
from tokenbench.store.layout import RunDirectory
from tokenbench.store.results import (
    append_result,
    from_json,
    outcome_from_json,
    read_results,
    rewrite_results,
    to_json,
    write_table,
)
from tokenbench.store.view import read_view

STORED = Path(__file__).parent / "data" / "results-v1.jsonl"


def test_round_trip_of_every_field(result: PointResult, outcome: EvalOutcome) -> None:
    """Maps, enums, tuples, nested evals, None, text beyond ASCII, and the types of values."""
    again = from_json(to_json(result))
    assert again == result
    assert list(again.workload_options.items()) == list(result.workload_options.items())
    assert type(again.workload_options["chat"]) is bool
    assert isinstance(again.checks, tuple) and isinstance(again.evals[0].interval, tuple)
    assert hash(again) == hash(result)
    assert outcome_from_json(json.loads(to_json(outcome))) == outcome


def test_fixture_sets_every_field(result: PointResult) -> None:
    """A field with its default value would not test the round trip."""
    same = [
        f.name
        for f in attrs.fields(PointResult)
        if f.default is not attrs.NOTHING and getattr(result, f.name) == f.default
    ]
    assert same == ["schema_version", "definitions_version"]


def test_stored_file_of_version_1_is_read() -> None:
    """Written on 2026-11-21 by version 0.1.0; later versions must read it."""
    first, second = read_results(STORED)
    assert first.metrics["ttft_s.p50"].values == (0.4, 0.5, 0.6)
    assert first.evals[0].interval == (0.236593, 0.763407)
    assert first.level == LoadLevel(concurrency=4, unit="session")
    assert second.state is PointState.STALLED
    assert second.level.rate_per_s == 2.5


def test_schema_is_compatible_with_version_1(result: PointResult) -> None:
    """Renaming or removing a field, or adding one without a default, needs a new schema version."""
    stored = json.loads(STORED.read_bytes().split(b"\n")[0])
    current = json.loads(to_json(result))
    assert set(stored) <= set(current)
    for name in set(current) - set(stored):
        assert attrs.fields_dict(PointResult)[name].default is not attrs.NOTHING


def _changed(result: PointResult, **changes: object) -> bytes:
    return json.dumps({**json.loads(to_json(result)), **changes}).encode()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"surprise": 1}, "surprise"),
        ({"repeats": "3"}, "repeats"),
        ({"repeats": True}, "repeats"),
        ({"accelerators": 1.5}, "accelerators"),
        ({"engine": 7}, "engine"),
        ({"state": "dreaming"}, "state"),
        ({"level": {"concurrency": 1, "rate_per_s": 2.0}}, "level"),
        ({"metrics": {"a": {"mean": "1", "half_width": None, "values": []}}}, "metrics"),
        ({"schema_version": 2}, "have schema version 2; this version of bench reads 1"),
        ({"schema_version": None}, "schema version None"),
    ],
)
def test_invalid_results_are_refused(
    result: PointResult, changes: dict[str, object], words: str
) -> None:
    """Unknown keys, wrong types and other schema versions; the message names the field."""
    with pytest.raises(UsageError, match=words) as caught:
        from_json(_changed(result, **changes))
    assert caught.value.hint
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("data", [{}, [], {"eval": 1}, None])
def test_invalid_outcomes_are_refused(data: object) -> None:
    """With a UsageError instead of the converter's exception."""
    with pytest.raises(UsageError):
        outcome_from_json(data)


def test_nan_is_not_stored(result: PointResult) -> None:
    """JSON has no NaN; missing values are None."""
    with pytest.raises(ValueError, match="JSON"):
        to_json(attrs.evolve(result, accelerators=float("nan")))  # type: ignore[arg-type]


@pytest.mark.parametrize("tail", [b'{"point": "p1", "ru', b"\0\0\0\0\0\0", b'{"a": "\xc3'])
def test_incomplete_last_line_is_dropped(tmp_path: Path, result: PointResult, tail: bytes) -> None:
    """A part of a line or zero bytes, as a crash leaves them; later results can be appended."""
    file = tmp_path / "results.jsonl"
    append_result(file, result)
    with file.open("ab") as stream:
        stream.write(tail)
    assert read_results(file) == [result]
    append_result(file, attrs.evolve(result, point="p2"))
    assert [r.point for r in read_results(file)] == ["p1", "p2"]


def test_damage_in_the_middle_is_an_error(tmp_path: Path, result: PointResult) -> None:
    """The message names the line."""
    file = tmp_path / "results.jsonl"
    file.write_bytes(b'{"half\n' + to_json(result) + b"\n")
    with pytest.raises(UsageError, match=r"results\.jsonl:1 is damaged"):
        read_results(file)


def test_rewrite_replaces_all_lines(tmp_path: Path, result: PointResult) -> None:
    """A missing file has no results."""
    file = tmp_path / "results.jsonl"
    append_result(file, result)
    rewrite_results(file, [attrs.evolve(result, point=name) for name in "ab"])
    assert [r.point for r in read_results(file)] == ["a", "b"]
    assert read_results(tmp_path / "none.jsonl") == []


def test_flat_table_has_fixed_types(tmp_path: Path, result: PointResult) -> None:
    """Tables can be concatenated, also those with empty columns or without results."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    bare = attrs.evolve(
        result, precision=None, error=None, engine_version=None, saturated=None,
        level=LoadLevel(rate_per_s=2.0, arrival="poisson"),
    )  # fmt: skip
    tables = []
    for number, results in enumerate(([result], [bare], [result, bare], [])):
        write_table(tmp_path / f"{number}.parquet", results)
        tables.append(pq.read_table(tmp_path / f"{number}.parquet"))
    assert [t.num_rows for t in tables] == [1, 1, 2, 0]
    assert tables[0].schema == tables[1].schema == tables[2].schema
    assert not [f for f in tables[1].schema if f.type == pa.null()]
    assert tables[3].schema.names == [n for n in tables[0].schema.names if n not in _METRICS]
    row = tables[2].to_pylist()[0]
    assert row["ttft_s.p50"] == 0.5 and row["ttft_s.p50.half_width"] == 0.1
    assert row["energy_j.host"] is None and row["saturated"] is False
    assert tables[0].schema.metadata[b"tokenbench.schema"] == b"results 1"


_METRICS = ("energy_j.host", "energy_j.host.half_width", "ttft_s.p50", "ttft_s.p50.half_width")


def test_flat_table_sorts_metrics_over_all_rows(tmp_path: Path, result: PointResult) -> None:
    """Also a metric that only a later row has."""
    import pyarrow.parquet as pq

    value = result.metrics["ttft_s.p50"]
    one, two = (
        attrs.evolve(result, metrics=FrozenMap(dict.fromkeys(names, value)))
        for names in ("hfdb", "gceah")
    )
    write_table(tmp_path / "t.parquet", [one, two])
    names = pq.read_schema(tmp_path / "t.parquet").names
    assert names[-16:] == [name for m in "abcdefgh" for name in (m, f"{m}.half_width")]


def test_view_of_a_complete_run(tmp_path: Path, result: PointResult, outcome: EvalOutcome) -> None:
    """Results, evals, provenance and times."""
    run = RunDirectory.create(tmp_path, "x")
    run.write_json("run.json", {"name": "x", "state": "complete", "started": "s", "finished": "f"})
    run.write_json("provenance.json", {"host.cpu": "c", "n": 2})
    append_result(run.results, result)
    run.evals("d1", "gsm8k")
    run.write_json("evals/d1/gsm8k/outcome.json", plain(outcome))
    view = read_view(run)
    assert (view.name, view.state, view.started, view.finished) == ("x", "complete", "s", "f")
    assert view.results == (result,) and view.evals == (outcome,)
    assert dict(view.provenance) == {"host.cpu": "c", "n": "2"}


def test_view_of_an_interrupted_run(tmp_path: Path, result: PointResult) -> None:
    """Incomplete results, outcomes and provenance are left out."""
    run = RunDirectory.create(tmp_path, "x")
    run.write_json("run.json", {"state": "running"})
    (run.path / "provenance.json").write_text('{"a"')
    append_result(run.results, result)
    with run.results.open("ab") as stream:
        stream.write(b'{"point"')
    (run.evals("d1", "gsm8k") / "outcome.json").write_text("{")
    view = read_view(run)
    assert (view.state, view.finished) == ("running", None)
    assert view.error == "it is in progress, or bench was killed"
    assert view.results == (result,) and view.evals == () and dict(view.provenance) == {}
    (run.path / "run.json").write_text("")
    assert read_view(run).state == "unknown"


def test_store_loads_no_heavy_library() -> None:
    """numpy, pyarrow and cattrs are imported on use only; they take 0.1 s."""
    import subprocess
    import sys

    code = (
        "import sys, tokenbench.store, tokenbench.store.layout, tokenbench.store.files,"
        "tokenbench.store.results, tokenbench.store.view;"
        "sys.exit(bool({'numpy', 'pyarrow', 'cattrs'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
