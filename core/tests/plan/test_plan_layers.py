"""Layers meet under one name for each flag; roles, images, files and what amendments add."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import attrs
import pytest
import yaml

from tokenbench.api import (
    Amendment,
    FileSpec,
    FlagGrammar,
    FrozenMap,
    LaunchPlan,
    PluginError,
    ProcessSpec,
    UsageError,
)
from tokenbench.launch.start_order import start_order
from tokenbench.launch.symbols import bind_file, bind_process
from tokenbench.plan.layers import Layer, Setting, amendment_layers, merge

GRAMMAR = FlagGrammar(
    aliases=FrozenMap({"-tp": "--tensor-parallel-size"}),
    negations=FrozenMap({"--no-prefix": "--prefix"}),
    json=("--spec",),
)
CONFIG = FrozenMap({"host": "{host}", "cache": FrozenMap({"on": True, "size": 1})})
PROCESS = ProcessSpec(
    role="serve",
    argv=("serve",),
    flags=FrozenMap({"--tensor-parallel-size": 2, "--prefix": True, "--spec": '{"a": 1, "b": 2}'}),
    files=(FileSpec(name="c.yaml", content=CONFIG), FileSpec(name="t.jinja", content="{x}")),
    grammar=GRAMMAR,
    image="engine:1",
)


def _merged(*layers: Layer, **amended: Any) -> tuple[ProcessSpec, dict[str, Setting]]:
    """The process under these layers, and its settings by name."""
    changes = [Amendment(reason="r", **amended)] if amended else []
    both = [*layers, *amendment_layers([("plug", one) for one in changes])]
    plan, settings = merge(LaunchPlan(processes=(PROCESS,)), "eng", both, changes)
    return plan.processes[0], {s.name: s for s in settings}


def _suite(**settings: Any) -> Layer:
    return Layer(name="suite", source="suite", **settings)


def test_a_flag_is_replaced_under_any_of_its_names() -> None:
    """And the explanation names what was replaced."""
    flags = FrozenMap({"-tp": 4, "--no-prefix": True, "--spec.b": 3, "--spec.c": "x"})
    process, settings = _merged(_suite(flags=flags))
    assert process.flags["--tensor-parallel-size"] == 4
    assert process.flags["--prefix"] is False
    assert process.flags["--spec"] == {"a": 1, "b": 3, "c": "x"}
    assert settings["--tensor-parallel-size"].replaced == ("2 (engine: eng)",)
    assert settings["--spec.b"].layer == "suite"
    argv = bind_process(process, "server-0", {}, {}).argv
    assert argv[:3] == ("serve", "--tensor-parallel-size", "4")
    assert "--no-prefix" in argv and json.loads(argv[-1]) == {"a": 1, "b": 3, "c": "x"}


def test_a_json_flag_can_be_taken_away_as_a_whole() -> None:
    """``--spec: null`` removes all its keys."""
    process, settings = _merged(_suite(flags=FrozenMap({"--spec": None})))
    assert process.flags.get("--spec") is None
    assert "--spec.a" not in settings
    assert "--spec" not in bind_process(process, "server-0", {}, {}).argv


def test_a_flag_that_its_grammar_refuses_names_the_layer() -> None:
    """Where the value stands, and what is wrong with it."""
    with pytest.raises(UsageError, match="suite: --no-prefix takes no value, got 3"):
        _merged(_suite(flags=FrozenMap({"--no-prefix": 3})))


def test_an_engine_writes_a_null_that_a_suite_takes_away() -> None:
    """Null and absent are different to a program that has a default."""
    content = FrozenMap({"graphs": None, "cache": FrozenMap({"size": None, "on": True})})
    own = attrs.evolve(PROCESS, files=(FileSpec(name="c.yaml", content=content),))
    gone = FrozenMap({"c.yaml": FrozenMap({"graphs": None, "cache": FrozenMap({"on": None})})})
    for layers, expected in (((), content), ((_suite(files=gone),), {"cache": {"size": None}})):
        plan, _ = merge(LaunchPlan(processes=(own,)), "eng", list(layers), [])
        (file,) = plan.processes[0].files
        assert file.content == expected
        assert yaml.safe_load(bind_file(file, {}, "p")) == expected


def test_a_port_alone_is_a_number_in_a_file() -> None:
    """Programs that read one from a file refuse a text; within a text it stays one."""
    content = FrozenMap(
        {"port": "{port:http}", "peers": ("{a.0.port:http}", "{host}:{port:http}"), "n": "{rank}"}
    )
    values = {"host": "h", "port:http": "8000", "a.0.port:http": "9", "rank": "1"}
    found = yaml.safe_load(bind_file(FileSpec(name="c.yaml", content=content), values, "p"))
    assert found == {"port": 8000, "peers": [9, "h:8000"], "n": "1"}


def test_files_are_merged_key_by_key_and_written_with_symbols_bound() -> None:
    """YAML, JSON and TOML; text is written as it is."""
    layer = _suite(role="serve", files=FrozenMap({"c.yaml": FrozenMap({"cache": {"size": 8}})}))
    process, settings = _merged(layer)
    config, text = process.files
    assert settings["c.yaml:cache.size"].replaced == ("1 (engine: eng)",)
    values = {"host": "127.0.0.1"}
    expected = {"host": "127.0.0.1", "cache": {"on": True, "size": 8}}
    assert yaml.safe_load(bind_file(config, values, "p")) == expected
    as_json = attrs.evolve(config, name="c.json")
    assert json.loads(bind_file(as_json, values, "p")) == expected
    assert tomllib.loads(bind_file(attrs.evolve(config, name="c.toml"), values, "p")) == expected
    assert bind_file(text, values, "p") == "{x}"
    with pytest.raises(PluginError, match=r"has a mapping as content and no known format"):
        bind_file(attrs.evolve(config, name="c.ini"), values, "p")


def test_what_an_amendment_adds() -> None:
    """Ports, a command before the program, an order, an image; the same role only."""
    process, settings = _merged(
        images=FrozenMap({"serve": "engine:2"}),
        ports=FrozenMap({"serve": ("side",)}),
        wrap=FrozenMap({"serve": ("numactl", "-N", "0")}),
        after=FrozenMap({"serve": ("master",)}),
        files=FrozenMap({"serve": (FileSpec(name="c.yaml", content=FrozenMap({"k": "v"})),)}),
    )
    names = [block.name for block in process.ports]
    assert (process.image, names) == ("engine:2", ["http", "side"])
    assert bind_process(process, "server-0", {}, {}).argv[:4] == ("numactl", "-N", "0", "serve")
    assert process.after == ("master",)
    assert process.files[0].content["k"] == "v" and len(process.files) == 2
    assert settings["image"].source == "plug: r"
    other, _ = _merged(images=FrozenMap({"router": "engine:2"}))
    assert other.image == "engine:1"


def test_an_amendment_gives_single_settings_reasons_of_their_own() -> None:
    """`--explain` shows the reason of each flag, variable, file and added process."""
    added = ProcessSpec(role="master", argv=("m",), flags=FrozenMap({"--port": 1}))
    change = Amendment(
        reason="r",
        reasons=FrozenMap({"--x": "why x", "V": "why V", "d.json": "why d", "master": "why m"}),
        flags=FrozenMap({"serve": FrozenMap({"--x": 1, "--y": 2})}),
        environment=FrozenMap({"serve": FrozenMap({"V": "1", "W": "2"})}),
        files=FrozenMap({"serve": (FileSpec(name="d.json", content=FrozenMap({"k": 1})),)}),
        images=FrozenMap({"serve": "engine:2"}),
        processes=(added,),
    )
    layers = amendment_layers([("plug", change)])
    plan, settings = merge(LaunchPlan(processes=(PROCESS,)), "eng", layers, [change])
    assert plan.processes[0].environment == {"V": "1", "W": "2"}
    sources = {s.name: s.source for s in settings if s.layer == "amendment"}
    assert sources == {
        "--x": "plug: why x",
        "--y": "plug: r",
        "V": "plug: why V",
        "W": "plug: r",
        "d.json:k": "plug: why d",
        "image": "plug: r",
        "--port": "why m",
    }


def test_start_order() -> None:
    """Each behind those it names; a circle or an unknown role is refused."""
    a, b, c = (ProcessSpec(role=role, argv=("x",)) for role in "abc")
    ordered = start_order([attrs.evolve(a, after=("c",)), b, attrs.evolve(c, after=("b",))])
    assert [process.role for process in ordered] == ["b", "c", "a"]
    with pytest.raises(ValueError, match="wait for each other: a, b"):
        start_order([attrs.evolve(a, after=("b",)), attrs.evolve(b, after=("a",)), c])
    with pytest.raises(ValueError, match="a starts after 'z', which no process has"):
        start_order([attrs.evolve(a, after=("z",))])
