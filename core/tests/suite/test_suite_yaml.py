"""YAML as people write it: read as it says, or refused with file, line and what to write."""

from __future__ import annotations

import re
import typing
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml

from tokenbench.api import Topology, UsageError
from tokenbench.suite.forms import FORMS, form_hint
from tokenbench.suite.schema import (
    AccuracyRequest,
    DeploymentRequest,
    FindRequest,
    LoadRequest,
    PoolRequest,
    RepeatsRequest,
    RoleSettings,
    Suite,
    TelemetryRequest,
)
from tokenbench.suite.structure import read_suite

HEAD = "deployments: [{engine: a}]\n"


def _read(folder: Path, text: str | bytes, name: str = "suite.yaml") -> Suite:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_suite(file)[0]


@pytest.mark.parametrize(
    "text",
    ["on", "no", "yes", "off", "1_000", "12:30", "12:30:00", "017", "0x1F", "0o17", "2026-11-30"],
)
def test_what_yaml_1_1_changes_is_text(tmp_path: Path, text: str) -> None:
    """As a name it is what was written, as a number it is refused with its line."""
    assert _read(tmp_path, f"{HEAD}name: {text}").name == text
    suite = _read(tmp_path, f"deployments: [{{engine: a, environment: {{A: {text}}}}}]")
    assert suite.deployments[0].environment == {"A": text}
    for line, wanted in (("seed", "int"), ("load: {duration_s", "a number")):
        key = line.replace(": {", ".")
        with pytest.raises(UsageError) as caught:
            _read(tmp_path, f"{HEAD}{line}: {text}{'}' if '{' in line else ''}")
        assert f'suite.yaml:2: {key}: expected {wanted}, got "{text}"' in caught.value.message


@pytest.mark.parametrize(
    ("text", "value"), [("1e-1", 0.1), ("1.5E+2", 150.0), ("+5", 5.0), (".5", 0.5), ("5.", 5.0)]
)
def test_numbers(tmp_path: Path, text: str, value: float) -> None:
    """Decimal, with an exponent or without, as in JSON and YAML 1.2."""
    assert _read(tmp_path, f"{HEAD}load: {{duration_s: {text}}}").load.duration_s == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{HEAD}name: a\nname: b\n", ":3: not valid YAML: the key 'name' is given twice"),
        (f"{HEAD}'name': a\nname: b\n", ":3: not valid YAML: the key 'name' is given twice"),
        ("deployments:\n- engine: a\n  port: 1\n  port: 2\n", ":4: deployments[0]: not valid YAML"),
        ("x: &x {engine: a}\ndeployments: [{<<: *x}]\n", ":2: deployments[0]: the merge key <<"),
        (f"{HEAD}---\n{HEAD}", ":2: not valid YAML: but found another document"),
        ("load:\n\tconcurrency: [1]\n", ":2: not valid YAML: found character '\\t'"),
        (f"{HEAD}load:\n  1: x\n", ":3: load: expected a string as key, got 1"),
        (f"{HEAD}~: x\n", ":2: expected a string as key, got ~"),
        (f"{HEAD}? [a]\n: x\n", ":2: expected a string as key, got the sequence"),
        (f"{HEAD}'': x\n", ":2: expected a string as key, got an empty one"),
        (f"{HEAD}name: !x y\n", ":2: name: not valid YAML: the tag !x"),
        (f"{HEAD}name: !!null y\n", ":2: name: not valid YAML: the tag !!null"),
        ("deployments: !!set {a}\n", ":1: deployments: not valid YAML: the tag !!set"),
        (f"{HEAD}name: *x\n", ":2: not valid YAML: found undefined alias 'x'"),
        (f"{HEAD}name: a\0b\n", ":2: not valid YAML: the character U+0000"),
        (f"{HEAD}seed: {'9' * 5000}\n", ':2: seed: not valid YAML: "9999'),
        (f"{HEAD}load: {{rate: [1{'0' * 5000}]}}\n", ":2: load.rate[0]: not valid YAML"),
        (f"{HEAD}name:\n", ":2: name: expected text, got null"),
        (f"{HEAD}workloads:\n- random:\n  tokens: 5\n", ":3: workloads[0]: expected NAME or {NAME"),
        ("", ":1: expected a mapping of keys, got nothing: the file is empty"),
        ("a: " + "[" * 3000, "nested too deeply"),
        ("a: " + "[" * 60 + "]" * 60, "nested too deeply"),
        (HEAD.encode("utf-16"), "suite.yaml:1: not UTF-8 text"),
        (HEAD.encode() + "name: é".encode("latin-1"), "suite.yaml:2: not UTF-8 text"),
        (b"#" * 6_000_000, "more than 5,000,000 bytes"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str | bytes, said: str) -> None:
    """Nothing is dropped, and nothing is a bug of bench."""
    with pytest.raises(UsageError) as caught:
        _read(tmp_path, text)
    assert said in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    "text",
    [f"\ufeff{HEAD}", HEAD.replace("\n", "\r\n"), f"---\n{HEAD}...\n", f"%YAML 1.1\n---\n{HEAD}"],
)
def test_harmless_varieties_are_read(tmp_path: Path, text: str) -> None:
    """A byte order mark, line ends of Windows, marks of a document, a directive."""
    assert len(_read(tmp_path, text).deployments) == 1


def test_an_alias_is_read_and_its_lines_are_those_of_its_value(tmp_path: Path) -> None:
    """Two deployments of one value."""
    suite = _read(tmp_path, "deployments:\n- &d {engine: a, port: 1}\n- *d\n")
    assert suite.deployments[0] == suite.deployments[1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"name": "a", "name": "b"}', "the key 'name' is given twice"),
        ('{"deployments": {}}', "suite.json: deployments: expected a list, got a mapping"),
        ('{"load": {"rate": [NaN]}, "deployments": []}', "load.rate: expected a finite number"),
        ("[" * 100 + "]" * 100, "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_json_is_held_to_the_same(tmp_path: Path, text: str, said: str) -> None:
    """It has no lines, so none is named."""
    with pytest.raises(UsageError) as caught:
        _read(tmp_path, text, "suite.json")
    assert said in caught.value.message


def _keys(cls: Any, path: str = "") -> list[str]:
    found = []
    for name, kind in typing.get_type_hints(cls).items():
        found.append(f"{path}{name}")
        inner = [c for c in INNER if c.__name__ in str(kind)]
        found += [key for c in inner for key in _keys(c, f"{path}{name}.")]
    return found


INNER = (
    DeploymentRequest,
    LoadRequest,
    FindRequest,
    RepeatsRequest,
    AccuracyRequest,
    TelemetryRequest,
    Topology,
    PoolRequest,
)


def test_every_key_has_a_form_that_is_read(tmp_path: Path) -> None:
    """What a hint proposes is accepted where it is proposed."""
    keys = {key for key in _keys(Suite) if not key.startswith("deployments.pools.topology.")}
    assert keys == set(FORMS)
    for path, form in FORMS.items():
        *above, key = path.split(".")
        data: Any = yaml.safe_load(form)
        assert list(data) == [key]
        if path.startswith("load.find.") and key != "what":
            data["what"] = "max-rate"
        for holder in reversed(above):
            data = {holder: [data] if holder in ("deployments", "pools") else data}
        for deployment in data.setdefault("deployments", [{}]):
            deployment.setdefault("engine", "a")
        _read(tmp_path, yaml.safe_dump(data))


def test_the_form_of_the_nearest_key() -> None:
    """Indices and what the schema does not know are left out."""
    assert form_hint("deployments[0].flags.--x") == "for example: flags: {--max-num-seqs: 4}"
    assert form_hint("deployments[1].pools[0].topology.tp") == "for example: tp: 4"
    assert form_hint("workloads[3].x.y").startswith("for example: workloads: [")
    assert re.match("see", form_hint(""))


def test_a_flags_values_are_scalars_or_a_list_of_them(tmp_path: Path) -> None:
    """A list in a list cannot become arguments of a process; a mapping is one JSON argument."""
    text = "deployments: [{{engine: a, flags: {{--x: {}}}}}]"
    fine = {"1": 1, "a": "a", "true": True, "null": None, "[1, a]": (1, "a"), "[]": ()}
    fine["{a: 1}"] = {"a": 1}
    for form, value in fine.items():
        assert _read(tmp_path, text.format(form)).deployments[0].flags == {"--x": value}
    for form in ("[[1]]", "[{a: 1}]", "[null]", ".nan", "[.inf]"):
        with pytest.raises(UsageError, match=r"suite.yaml:1: deployments\[0\].flags.--x: expected"):
            _read(tmp_path, text.format(form))


def test_a_variables_value_is_text(tmp_path: Path) -> None:
    """A whole number is kept as it is written; a boolean or nothing would not be."""
    text = "deployments: [{{engine: a, environment: {}}}]"
    suite = _read(tmp_path, text.format('{A: 4, B: "", C: x}'))
    assert suite.deployments[0].environment == {"A": "4", "B": "", "C": "x"}
    for form in ("{A: true}", "{A: null}", "{A: 1.50}", "{A: [x]}", "{A: {b: c}}", "{A=B: x}"):
        with pytest.raises(UsageError, match=r"suite.yaml:1: deployments\[0\].environment.A"):
            _read(tmp_path, text.format(form))


def test_every_class_of_the_schema_is_checked_for_containers() -> None:
    """A class that is added to the schema is added to the list of the structuring."""
    from tokenbench.suite import structure

    inside = {c for c in INNER if c is not RepeatsRequest} | {Suite, RoleSettings}
    assert set(structure._CLASSES) == inside
    assert all(attrs.has(cls) for cls in inside)
