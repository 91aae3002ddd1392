"""Bad files: the error names the file, the row and the field, and nothing is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tokenbench.api import MachineError, UsageError
from tokenbench.imports import write
from tokenbench.imports.facts import parse
from tokenbench.imports.write import Imported, import_files
from tokenbench.store.layout import RunDirectory

HEADER = (
    "hardware,framework,model,precision,disagg,num_prefill_gpu,num_decode_gpu,conc,tput_per_gpu"
)
GOOD = "h100,sglang,m,fp8,false,8,8,4,100.5"
VLLM = {
    "model_id": "m",
    "completed": 1,
    "duration": 2.0,
    "total_input_tokens": 3,
    "total_output_tokens": 4,
    "output_throughput": 2.0,
    "total_token_throughput": 3.5,
    "max_concurrency": 2,
}


def _import(base: Path, *files: Path, facts: tuple[str, ...] = ()) -> Imported:
    return import_files(
        files,
        base / "runs",
        name=None,
        facts=parse(facts, lambda name: name),
        sku=lambda name: name,
        command="bench import results",
    )


def _csv(*lines: str) -> str:
    return "\n".join((HEADER, GOOD, *lines)) + "\n"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (
            "a.csv",
            _csv("h100,sglang,m,fp8,false,8,8,4,fast"),
            r"a\.csv:3: tput_per_gpu: expected a",
        ),
        ("a.csv", _csv("h100,sglang,m,fp8,false,8,8,4,nan"), r"a\.csv:3: tput_per_gpu"),
        ("a.csv", _csv("h100,sglang,m,fp8,false,8,8,4,inf"), r"a\.csv:3: tput_per_gpu"),
        ("a.csv", _csv("h100,sglang,m,fp8,maybe,8,8,4,1"), r"a\.csv:3: disagg: expected true or"),
        (
            "a.csv",
            _csv("h100,sglang,m,fp8,false,8,8.5,4,1"),
            r"a\.csv:3: num_decode_gpu: expected a",
        ),
        ("a.csv", _csv("h100,sglang,m,fp8,false,8,8,0,1"), r"a\.csv:3: conc: expected at least 1"),
        ("a.csv", _csv("h100,sglang,m,fp8,false,8"), r"a\.csv:3: expected 9 cells, got 6"),
        ("a.csv", _csv("h100,sglang,m,fp8,false,8,8,4,1,2"), r"a\.csv:3: expected 9 cells, got 10"),
        ("a.csv", _csv("h100,sglang,,fp8,false,8,8,4,1"), r"a\.csv:3: no value for model"),
        ("a.csv", _csv('h100,"sglang,m,fp8'), r"a\.csv: not valid CSV: line 3"),
        (
            "a.csv",
            HEADER.replace(",conc", ",c") + "\n" + GOOD,
            r"a\.csv: a file of no known format",
        ),
        ("a.csv", HEADER.replace("tput", "tpt") + "\n" + GOOD, r"no value for tput_per_gpu"),
        ("a.csv", HEADER + ",conc\n" + GOOD + ",4\n", r"the column 'conc' occurs twice"),
        ("a.csv", HEADER + "\n", r"a\.csv: no rows"),
        ("a.csv", "", r"a\.csv: no rows"),
        ("a.csv", b"\xff\xfe\x00", r"a\.csv: not UTF-8 text"),
        ("a.json", json.dumps(VLLM)[:-20], r"a\.json: not valid JSON: line 1, column"),
        (
            "a.json",
            json.dumps({**VLLM, "duration": "2.0"}),
            r"a\.json: duration: expected a number",
        ),
        (
            "a.json",
            json.dumps({**VLLM, "completed": True}),
            r"a\.json: completed: expected a number",
        ),
        ("a.json", json.dumps({**VLLM, "duration": float("nan")}), r"duration: expected a number"),
        (
            "a.json",
            json.dumps({**VLLM, "duration": 10**400}),
            r"duration: expected a number",
        ),
        ("a.json", json.dumps({**VLLM, "duration": None}), r"a\.json: no value for duration"),
        ("a.json", json.dumps({**VLLM, "request_rate": 0}), r"request_rate: expected more than 0"),
        (
            "a.json",
            json.dumps([VLLM, VLLM]),
            r"expected one result of the format vllm-serve, got 2",
        ),
        ("a.json", f'{{"a": {"9" * 5000}}}', r"a\.json: not valid JSON: a number has too many"),
        ("a.json", '{"a": ' + "[" * 100_000, r"a\.json: not valid JSON"),
        ("a.yaml", "a: 2026-99-99", r"a\.yaml: not valid YAML: an impossible number"),
        ("a.yaml", "a: " + "[" * 5000, r"a\.yaml: not valid YAML"),
        ("a.json", json.dumps([1]), r"a\.json, row 1: expected an object, got int"),
        ("a.json", "{}", r"a\.json: a file of no known format"),
        ("a.json", '{"benchmarks": []}', r"benchmarks: expected a list of benchmarks, got \[\]"),
        ("a.json", '{"benchmarks": [{"config": {}}]}', r"a\.json, row 1: no value for metrics"),
        ("a.yaml", "version: [", r"a\.yaml: not valid YAML: line 1"),
        (
            "a.yaml",
            "version: '0.1'\nscenario: {}\nresults: {}",
            r"version: expected 0\.2 or 0\.2\.1",
        ),
    ],
)
def test_bad_file(tmp_path: Path, name: str, content: str | bytes, words: str) -> None:
    """Beside a good file; the two lines name the place, and there is no run directory."""
    good, bad = tmp_path / "good.csv", tmp_path / name
    good.write_text(_csv())
    bad.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UsageError, match=words) as caught:
        _import(tmp_path, good, bad)
    assert caught.value.hint and "\n" not in caught.value.message
    assert not (tmp_path / "runs").exists()


def test_missing_file(tmp_path: Path) -> None:
    """The system's reason."""
    with pytest.raises(UsageError, match="No such file"):
        _import(tmp_path, tmp_path / "none.csv")


def test_two_formats(tmp_path: Path) -> None:
    """One run has rows of one format."""
    rows, result = tmp_path / "a.csv", tmp_path / "a.json"
    rows.write_text(_csv())
    result.write_text(json.dumps(VLLM))
    with pytest.raises(UsageError, match="has the format vllm-serve, other files have"):
        _import(tmp_path, rows, result)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (("engin=x",), "--set engin=x: expected KEY=VALUE"),
        (("engine",), "--set engine: expected"),
        (("engine=",), "expected KEY=VALUE"),
        (("engine=a", "engine=b"), "--set engine: given twice"),
        *(
            ((f"accelerators={text}",), "accelerators: expected between 1 and 100,000, got")
            for text in ("none", "0", "1_0", "100001", "9" * 5000, "\u0668")
        ),
        (("model=other",), "--set model=other: a.json says m"),
    ],
)
def test_bad_facts(tmp_path: Path, facts: tuple[str, ...], words: str) -> None:
    """`--set` adds facts and changes none."""
    file = tmp_path / "a.json"
    file.write_text(json.dumps(VLLM))
    with pytest.raises(UsageError, match=words) as caught:
        _import(tmp_path, file, facts=facts)
    assert caught.value.hint


def test_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the table cannot be written, the folder is removed."""

    def full(*args: Any) -> None:
        raise MachineError("the disk is full", hint="delete files")

    file = tmp_path / "a.json"
    file.write_text(json.dumps(VLLM))
    monkeypatch.setattr(write, "write_table", full)
    with pytest.raises(MachineError):
        _import(tmp_path, file)
    assert list((tmp_path / "runs").iterdir()) == []
    monkeypatch.undo()
    made = _import(tmp_path, file)
    assert RunDirectory.open(made.directory.path).read_json("run.json")["state"] == "complete"
    assert made.results[0].level.concurrency == 2
