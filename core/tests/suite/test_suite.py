"""Suites and choices: read exactly, refused precisely."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenbench.api import (
    FrozenMap,
    Topology,
    UsageError,
    http_url,
    option,
    options,
    variable_name,
)
from tokenbench.suite import limits
from tokenbench.suite.load_rules import check_contradictions
from tokenbench.suite.options import build_options
from tokenbench.suite.places import Places
from tokenbench.suite.plugin_ref import parse_plugin_ref
from tokenbench.suite.schema import PluginRef, PoolRequest, Suite
from tokenbench.suite.slo import parse_objectives
from tokenbench.suite.structure import read_suite, unstructure


def _load(folder: Path, text: str) -> Suite:
    file = folder / "suite.yaml"
    file.write_text(text)
    suite, document = read_suite(file)
    places = Places(document)
    if suite.load.slo is not None:
        parse_objectives(suite.load.slo, where=places("load.slo"))
    check_contradictions(suite.load, places)
    return suite


def test_three_ways_to_choose_a_plugin(tmp_path: Path) -> None:
    """A name, a name with options as on the command line, a mapping."""
    suite = _load(
        tmp_path,
        "deployments: [{engine: a}, {engine: 'a:x=1'}, {engine: {a: {x: 1, y: [1, 2]}}}]",
    )
    assert [d.engine for d in suite.deployments] == [
        PluginRef("a"),
        PluginRef("a", FrozenMap({"x": "1"})),
        PluginRef("a", FrozenMap({"x": 1, "y": (1, 2)})),
    ]


def test_pools_of_a_disaggregated_deployment(tmp_path: Path) -> None:
    """Prefill and decode pools, each with its topology."""
    text = """
deployments:
  - engine: a
    pools:
      - {role: prefill, replicas: 2, topology: {tp: 4}}
      - {role: decode, topology: {tp: 8, ep: 8, attention_dp: 8}}
"""
    (deployment,) = _load(tmp_path, text).deployments
    assert deployment.pools == (
        PoolRequest(role="prefill", replicas=2, topology=Topology(tp=4)),
        PoolRequest(role="decode", topology=Topology(tp=8, ep=8, attention_dp=8)),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("deployments:\n- engine: a\n  topolgy: {}", ":3: deployments[0].topolgy: unknown key"),
        ("deployments:\n- engine: a\nload:\n  concurrency: 4", ":4: load.concurrency: expected a"),
        ("deployments:\n- engine: a\nload:\n  repeats: 1.5", ":4: load.repeats: expected int"),
        ("deployments:\n- engine: a\n  flags: 4", ":3: deployments[0].flags: expected a mapping"),
        ("deployments:\n- engine: a\n  flags: {tp: 4}", ":3: deployments[0].flags.tp: expected a"),
        (
            "deployments:\n- engine: a\n  flags: {--x: {a: {b: .inf}}}",
            ":3: deployments[0].flags.--x.a.b: expected a finite number, got inf",
        ),
        (
            "deployments:\n- engine: a\n  roles: {r: {files: {f: {a: [.nan]}}}}",
            ":3: deployments[0].roles.r.files.f.a: expected a finite number, got nan",
        ),
        (
            "deployments:\n- engine: a\n  roles: {r: {files: {f: [1]}}}",
            ":3: deployments[0].roles.r.files.f: expected a mapping, got a list",
        ),
        (
            "deployments:\n- engine: a\n  pools: [{files: {f: null}}]",
            ":3: deployments[0].pools[0].files.f: expected a mapping, got null",
        ),
        ("name: x", "'deployments' is missing"),
        ("- 1", "expected a mapping of keys"),
        ("", "expected a mapping of keys"),
        ("deployments: [{engine: a, environment: !!python/object:os.system x}]", "not valid YAML"),
        ("a: &a [*a]", "not valid YAML"),
    ],
)
def test_errors_say_where_and_what(tmp_path: Path, text: str, said: str) -> None:
    """File, line, path, what was expected; a tag runs no code."""
    with pytest.raises(UsageError) as caught:
        _load(tmp_path, text)
    assert said in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("load", "said"),
    [
        ("  burstiness: 0.5\n", ":4: load.burstiness: it is the shape of gamma"),
        ("  rate: [1]\n  ramp_from: 0.5\n", ":5: load.ramp_from: it is where a ramp begins"),
        ("  rate: [1]\n  trace: x\n", ":5: load.trace: a trace needs"),
        ("  rate: [1]\n  arrival: replay\n", ":5: load.arrival: replay needs a trace"),
        ("  arrival: replay\n  trace: x\n", ":5: load.trace: replay is an arrival process of open"),
        ("  trace: ''\n  rate: [1]\n", ":4: load.trace: the file name is empty"),
        ("  arrival: gamma\n", ":4: load.arrival: gamma is an arrival process of open loops"),
        ("  rate: [1]\n  arrival: ramp\n  requests: 5\n", ":5: load.arrival: a ramp needs a dur"),
        ("  slo: ''\n", ":4: load.slo: no objective in ''"),
        ("  slo: ttft<0ms\n", ":4: load.slo: a limit of 0 ms can never be met"),
        ("  concurrency: []\n", ":4: load.concurrency: no load level"),
        ("  rate: [2, 1, 2]\n", ":4: load.rate: the load level r2 is given twice"),
        ("  find: {what: max-rate}\n", ":4: load.find: a search needs objectives"),
        (
            "  slo: ttft<1s\n  find: {what: max-rate, lowest: 2, highest: 1}\n",
            ":5: load.find.highe",
        ),
        ("  slo: ttft<1s\n  find: {what: max-concurrency, lowest: 1.5}\n", "give a whole number"),
        ("  slo: ttft<1s\n  find: {what: max-concurrency, highest: 7.0e+4}\n", "between 1 and 64,"),
        ("  rate: [1]\n  slo: ttft<1s\n  find: {what: max-rate}\n", ":4: load.rate: find searches"),
        (
            "  requests: 9\n  min_requests_per_concurrency: 4\n",
            ":5: load.min_requests_per_concurrency: it extends the duration",
        ),
        ("  repeats: 0\n", ":4: load.repeats: expected at least 1, got 0"),
    ],
)
def test_keys_that_contradict_each_other(tmp_path: Path, load: str, said: str) -> None:
    """Told with file, line and path of the key that cannot stay."""
    with pytest.raises(UsageError) as caught:
        _load(tmp_path, f"deployments:\n- engine: a\nload:\n{load}")
    assert said in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    "line",
    [
        f"requests: {'9' * 400}",
        f"concurrency: [{10**12}]",
        "rate: [1.0e+9]",
        "rate: [1.0e-10]",
        "duration_s: 1.0e+12",
        "repeats: 1000000000",
        "burstiness: 1.0e-9",
        "warmup_per_concurrency: 1.0e+300",
        "min_requests_per_concurrency: 1.0e+300",
        "requests_per_concurrency: 1.0e+300",
        "server_concurrency: 1000000000",
        "stall_timeout_s: 1.0e+300",
        "request_timeout_s: 1.0e+300",
        "ramp_from: 1.0e+300",
    ],
)
def test_numbers_that_cannot_be_meant(tmp_path: Path, line: str) -> None:
    """However many digits they have: told with file, line, path and the limit."""
    key = line.partition(":")[0]
    with pytest.raises(
        UsageError, match=rf"suite.yaml:4: load\.{key}: expected at (most|least) \d"
    ):
        _load(tmp_path, f"deployments:\n- engine: a\nload:\n  {line}")


@pytest.mark.parametrize("value", ["9" * 5000, "2026-99-99"])
def test_a_scalar_that_cannot_be_read_is_no_bug(tmp_path: Path, value: str) -> None:
    """A number of thousands of digits, a date that there is not."""
    with pytest.raises(UsageError, match=r"suite.yaml:3: seed: (not valid YAML|expected int)"):
        _load(tmp_path, f"deployments:\n- engine: a\nseed: {value}")


def test_the_limits_are_those_of_the_page() -> None:
    """docs/reference/suite.md says each."""
    page = (Path(__file__).parents[3] / "docs/reference/suite.md").read_text()
    table = page.partition("## Limits")[2]
    for name, value in vars(limits).items():
        if name.isupper() and not name.startswith("_") and not isinstance(value, str):
            text = f"{1 / value:,.0f}" if name == "LEAST_RATE" else f"{value:,.12g}"
            assert f" {text} " in table, name


def test_a_suite_is_written_as_it_is_read(tmp_path: Path) -> None:
    """Plain data of a suite, as a run keeps it, gives the same suite."""
    text = """
name: all
use: [x]
deployments:
  - {engine: "dist/a:x=1", model: m, flags: {--a: [1, 2], --b: null}, port: 80}
  - engine: {a: {x: 1.0e-5}}
    hardware: dist/h200:16
    pools: [{role: prefill, replicas: 2, topology: {tp: 4}}, {role: decode}]
load: {rate: [1.0e-5], slo: ttft<1s, workers: 2}
certification: {client_cpu_share: {flag: 0.9}}
evals: [e]
"""
    suite = _load(tmp_path, text)
    assert suite.deployments[0].engine.distribution == "dist"
    file = tmp_path / "suite.json"
    file.write_text(json.dumps(unstructure(suite)))
    assert read_suite(file)[0] == suite


def test_choices_on_the_command_line() -> None:
    """Quotes keep a comma, an equals sign in a value is the value's."""
    assert parse_plugin_ref("a", where="--x") == PluginRef("a")
    ref = parse_plugin_ref("a:b=1,c='x,y',url=http://h:1/?q=2", where="--x")
    assert ref.options == {"b": "1", "c": "x,y", "url": "http://h:1/?q=2"}
    for bad in ("", ":a=1", "a:b", "a:b=1,b=2", "a:b='x", "a:=1"):
        with pytest.raises(UsageError, match="--x"):
            parse_plugin_ref(bad, where="--x")


@given(st.text(alphabet="ab:=,'\"", max_size=12))
def test_any_choice_is_parsed_or_refused(text: str) -> None:
    """No text crashes it."""
    with contextlib.suppress(UsageError):
        parse_plugin_ref(text, where="--x")


@options
class Options:
    """All kinds of options."""

    number: int = option(help="a number", minimum=1, default=1)
    share: float = option(help="a share", default=0.5)
    flag: bool = option(help="a flag", default=False)
    word: str | None = option(help="a word", default=None, choices=("x", "y"))
    many: tuple[str, ...] = option(help="several", default=())
    must: str = option(help="always given", unit="words")
    part: float = option(help="a part", minimum=0, maximum=1, default=0.5)
    parts: tuple[int, ...] = option(help="parts", minimum=2, maximum=4, default=())
    address: str | None = option(help="where", default=None, check=http_url)
    variable: str | None = option(help="key", default=None, check=variable_name)
    json: FrozenMap[Any] = option(help="data", default=FrozenMap())

    def __attrs_post_init__(self) -> None:
        if self.flag and self.number == 2:
            raise ValueError("flag needs number=1")


def test_options_from_strings_and_from_values() -> None:
    """A flag gives strings, YAML gives values; both end as the declared types."""
    typed = build_options(
        Options,
        {"number": "3", "share": "1e-3", "flag": "yes", "word": "x", "many": "a/b", "must": "m"},
        where="here",
    )
    same = build_options(
        Options,
        {"number": 3, "share": 0.001, "flag": True, "word": "x", "many": ["a", "b"], "must": "m"},
        where="here",
    )
    assert typed == same
    assert (typed.number, typed.share, typed.flag, typed.many) == (3, 0.001, True, ("a", "b"))
    assert build_options(Options, {"must": "m", "word": "none"}, where="here").word is None


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"must": "m", "numbr": 1}, "unknown option 'numbr'"),
        ({"must": "m", "number": "four"}, "here.number: expected int, got 'four'"),
        ({"must": "m", "number": True}, "here.number: expected int"),
        ({"must": "m", "number": 0}, "number: expected at least 1"),
        ({"must": "m", "word": "z"}, "word: expected one of x, y"),
        ({"must": "m", "flag": "perhaps"}, "expected true or false"),
        ({}, "here: the option 'must' is required"),
        ({"must": 3}, "expected text"),
        ({"must": ""}, 'here.must: expected text, got ""'),
        ({"must": "m", "word": ""}, 'here.word: expected text, got ""'),
        ({"must": " "}, 'here.must: expected text, got " "'),
        ({"must": "m", "many": ["a", " "]}, "here.many: expected a list of texts, one is empty"),
        ({"must": "m", "number": ""}, "here.number: expected int, got ''"),
        ({"must": "m", "number": "\u0667"}, "here.number: expected int, got '\u0667'"),
        ({"must": "m", "number": 10**19}, "here.number: the number is too large"),
        ({"must": "m", "json": {"a": {"b": [math.nan]}}}, "here.json: a.b: expected a finite"),
        ({"must": "m", "flag": True, "number": 2}, "here.flag: needs number=1"),
        ({"must": "m", "number": [1]}, "here.number: expected int, got a list"),
        ({"must": ["m"]}, "here.must: expected text, got a list"),
        ({"must": {"m": 1}}, "here.must: expected text, got a mapping"),
        ({"must": None}, "here.must: expected text, got null"),
        ({"must": "m", "flag": ["yes"]}, "here.flag: expected true or false, got a list"),
        ({"must": "m", "many": {"a": 1}}, "here.many: expected a list, got a mapping"),
        ({"must": "m", "many": 5}, "here.many: expected a list, got a number"),
        ({"must": "m", "many": None}, "here.many: expected a list, got null"),
        ({"must": "m", "many": ["a", ["b"]]}, "here.many: expected text, got a list"),
        ({"must": "m", "many": "a//b"}, "here.many: expected a list of texts, one is empty"),
        ({"must": "m", "share": "nan"}, "here.share: expected a finite number, got nan"),
        ({"must": "m", "share": float("inf")}, "here.share: expected a finite number, got inf"),
        ({"must": "m", "share": 10**400}, "here.share: the number is too large"),
        ({"must": "m", "part": -0.1}, "here.part: expected at least 0, got -0.1"),
        ({"must": "m", "part": "1.1"}, "here.part: expected at most 1, got 1.1"),
        ({"must": "m", "part": "nan"}, "here.part: expected a finite number"),
        ({"must": "m", "parts": [2, 5]}, "here.parts: expected at most 4, got 5"),
        ({"must": "m", "parts": "1/2"}, "here.parts: expected at least 2, got 1"),
        ({"must": "m", "address": "h:1"}, "here.address: expected http://HOST:PORT, got 'h:1'"),
        ({"must": "m", "variable": "a b"}, "here.variable: expected the NAME of an environment"),
    ],
)
def test_option_errors(raw: dict[str, object], said: str) -> None:
    """Each with the option's own help as a hint."""
    with pytest.raises(UsageError) as caught:
        build_options(Options, raw, where="here")
    assert said in caught.value.message


@pytest.mark.parametrize(("value", "found"), [("none", "none"), ("some", "some"), (None, None)])
def test_none_is_a_choice_where_it_is_one(value: str | None, found: str | None) -> None:
    """Elsewhere it is the lack of a value."""

    @options
    class Modes:
        mode: str | None = option(help="which", default=None, choices=("none", "some"))

    assert build_options(Modes, {"mode": value}, where="here").mode == found


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        *(("number", "1_000", 1000), ("number", "017", 17), ("number", "7", 7)),
        *(("share", "1_0", 10), ("share", "00.5", 0.5), ("share", "1e-3", 0.001)),
        *(("flag", "true", True), ("flag", "no", False)),
    ],
)
def test_what_is_text_in_a_suite_is_no_number(key: str, text: str, value: float) -> None:
    """Nor a switch: there they are quoted. On a command line all is text, and Python's way to write
    numbers is taken.
    """
    made = build_options(Options, {"must": "m", key: text}, where="here")
    assert getattr(made, key) == value
    wanted = "true or false" if key == "flag" else "a number"
    with pytest.raises(UsageError, match=f"here.{key}: expected {wanted}, got '{text}'"):
        build_options(Options, {"must": "m", key: text}, where="here", typed=True)


def test_a_list_in_a_suite_is_a_list() -> None:
    """Text with / between the items is for command lines: in a suite it may be a mistake."""
    text = parse_plugin_ref("a:many=x/y", where="--x").options
    for raw, typed in ((text, False), ({"many": ["x", "y"]}, True), ({"many": "x/y"}, False)):
        made = build_options(Options, {"must": "m", **raw}, where="here", typed=typed)
        assert made.many == ("x", "y")
    with pytest.raises(UsageError, match=r"here.many: expected a list, got a string"):
        build_options(Options, {"must": "m", "many": "x/y"}, where="here", typed=True)


@pytest.mark.parametrize(
    "text",
    [
        "http://h",
        "http://h:1/v1/",
        "HTTPS://a.b-c.example.:65535",
        "http://[::1]:80",
        "http://10.0.0.1/a%20b",
    ],
)
def test_addresses_of_servers(text: str) -> None:
    """With and without port and path."""
    http_url(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "h", "h:80", "//h", "ftp://h", "http:h", "http://", "http:///v1", "http://:80"),
        *("http://h:0", "http://h:65536", "http://h:-1", "http://h:x", "http://h:80:90"),
        *("http://a b", "http://h\t", "http://h\n", "http://h\\x", "http://h\u00e9", "http://[::1"),
        *("http://a..b", "http://.", f"http://{'a' * 64}", "http://h?api_key=secret", "http://h#x"),
        *("http://me:secret@h", "http://secret@h", "me:secret@h", "http://[secret@h"),
    ],
)
def test_what_is_no_address_is_refused_without_its_key(text: str) -> None:
    """As a ValueError, whatever the parser of URLs raises."""
    with pytest.raises(ValueError, match=r"address|expected") as caught:
        http_url(text)
    assert "secret" not in str(caught.value)


def test_names_of_variables() -> None:
    """What stands there instead may be the key itself: it is not repeated."""
    for name in ("A", "OPENAI_API_KEY", "_x1"):
        variable_name(name)
    for text in ("", "1A", "sk-secret", "A=secret", "A B", "$A"):
        with pytest.raises(ValueError, match="NAME of an environment variable") as caught:
            variable_name(text)
        assert "secret" not in str(caught.value)


def test_an_option_without_help_is_refused() -> None:
    """While the plugin is written, not when it is used."""
    with pytest.raises(TypeError, match="help"):
        option(help=" ")
    with pytest.raises(TypeError, match=r"define it with option"):

        @options
        class Bare:
            x: int = 1


@pytest.mark.parametrize(
    ("inner", "said"),
    [
        ("no place", "suite.yaml:2: deployments[0].engine: no place"),
        ("{file}:9: use[0]: nearer", "suite.yaml:9: use[0]: nearer"),
        ("deployments[0].roles.x: nearer", "deployments[0].roles.x: nearer"),
        ("--use: nearer", "--use: nearer"),
    ],
)
def test_an_error_has_one_place(tmp_path: Path, inner: str, said: str) -> None:
    """The nearest, where an error passes several that know one."""
    file = tmp_path / "suite.yaml"
    file.write_text("deployments:\n- engine: a")
    places = Places(read_suite(file)[1], {"use": "--use"})
    with pytest.raises(UsageError) as caught, places.told("deployments[0].engine"):
        raise UsageError(inner.format(file=file), hint="h")
    assert caught.value.message.removeprefix(f"{tmp_path}/") == said
