"""Every flag that the plugin can produce, against the parsers of Dynamo's programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import attrs
from dynamo_cases import CAPTURED, WIDE, engine, request, xpyd
from tokenbench_engine_dynamo.grammar import FRONTEND_FLAGS, PACKAGE, frontend_grammar
from tokenbench_engine_dynamo.options import DISCOVERY, REQUEST_PLANES, ROUTER_MODES
from tokenbench_engine_dynamo.plugin import DynamoOptions

from tokenbench.api import (
    EngineRequest,
    FlagValue,
    FrozenMap,
    Pool,
    ProcessSpec,
    ServingNeeds,
    Topology,
    package_json,
)

_MOCKER = {"worker": "mocker"}
# One or more values of every option, with the options that it needs.
_SAMPLES: dict[str, tuple[dict[str, Any], ...]] = {
    "python": ({"python": "/opt/dynamo/bin/python"},),
    "start_timeout_s": ({"start_timeout_s": 60.0},),
    "worker": ({"worker": "vllm"}, _MOCKER),
    "worker_options": ({"worker_options": "enforce_eager=true"},),
    "block_size": ({**_MOCKER, "block_size": 32},),
    "router_mode": tuple({"router_mode": mode} for mode in ROUTER_MODES),
    "discovery": tuple({**_MOCKER, "discovery": one} for one in DISCOVERY),
    "etcd": ({"discovery": "etcd", "etcd": "/opt/etcd"},),
    "request_plane": tuple(
        {"request_plane": one, **({"nats_url": "nats://h:4222"} if one == "nats" else {})}
        for one in REQUEST_PLANES
    ),
    "nats_url": ({**_MOCKER, "request_plane": "nats", "nats_url": "nats://h:4222"},),
    "speedup": ({**_MOCKER, "speedup": 0.5},),
    "startup_s": ({**_MOCKER, "startup_s": 5.0},),
}
_NEEDS = ServingNeeds(context_tokens=2048, concurrency=16, prefix_caching=True)
_REQUESTS = (
    request(),
    request(needs=_NEEDS),
    request(needs=ServingNeeds()),
    request(Pool(topology=Topology(dp=2))),
    request(*xpyd(2, 1)),
    request(*xpyd(1, 2), needs=_NEEDS),
)
_WIDE = request(Pool(role="prefill"), Pool(role="decode", topology=WIDE), needs=_NEEDS)
# etcd is not Dynamo's.
_PROGRAMS = ("dynamo.frontend", "dynamo.mocker", "dynamo.vllm", "dynamo.trtllm")


def _known(program: str) -> dict[str, dict[str, Any]]:
    name = {
        "dynamo.mocker": "flags-mocker.json",
        "dynamo.vllm": "flags-worker.json",
        "dynamo.trtllm": "flags-trtllm.json",
    }.get(program)
    content = (
        json.loads((CAPTURED / name).read_text()) if name else package_json(PACKAGE, FRONTEND_FLAGS)
    )
    return {name: flag for flag in content["flags"] for name in flag["names"]}


def _all_processes() -> Iterator[ProcessSpec]:
    def planned(asked: EngineRequest, **options: Any) -> Iterator[ProcessSpec]:
        yield from engine(**options).plan(asked).processes

    for asked in _REQUESTS:
        for samples in _SAMPLES.values():
            for options in samples:
                yield from planned(asked, **options)
    yield from planned(_WIDE)
    for options in ({}, {"block_size": 64}):
        yield from engine("trtllm", worker="trtllm", **options).plan(_WIDE).processes


def test_every_option_has_a_sample() -> None:
    """A new option is checked against the parsers, or this test fails."""
    assert set(_SAMPLES) == {field.name for field in attrs.fields(DynamoOptions)}


def test_dynamo_takes_every_flag() -> None:
    """Name, type and choices of each flag are those of the program's parser."""
    seen: dict[str, set[str]] = {program: set() for program in _PROGRAMS}
    for one in _all_processes():
        if one.role == "etcd":
            continue
        known = _known(one.argv[2])
        for name, value in one.flags.items():
            _check(known[name], value)
            for word in one.grammar.render(name, value)[:1]:
                assert word in known or word in _negations(known), word
            seen[one.argv[2]].add(name)
        assert {word for word in one.argv[3:] if word.startswith("-")} <= set(known)
    assert {program: len(found) for program, found in seen.items()} == {
        "dynamo.frontend": 7,
        "dynamo.mocker": 14,
        "dynamo.vllm": 8,
        "dynamo.trtllm": 9,
    }, seen


def _negations(known: dict[str, dict[str, Any]]) -> set[str]:
    return {name for flag in known.values() for name in flag.get("negations", ())}


def _check(flag: dict[str, Any], value: FlagValue) -> None:
    place = (flag["names"][0], value)
    if isinstance(value, bool):
        assert flag["kind"] in ("boolean", "switch"), place
        return
    assert flag["kind"] in ("value", "values"), place
    if isinstance(value, FrozenMap):
        assert flag["type"] == "json", place
        return
    text = str(value)
    if flag["type"] in ("int", "float") and "{" not in text:
        (int if flag["type"] == "int" else float)(text)
    assert text in flag.get("choices", [text]), place


def test_other_spellings_meet() -> None:
    """A suite's spelling of a flag replaces the plugin's."""
    assert frontend_grammar().canonical("--no-kv-events", True) == ("--router-kv-events", False)
    off = ("--router-assume-kv-reuse", False)
    assert frontend_grammar().canonical("--no-assume-kv-reuse", True) == off
    assert frontend_grammar().render(*off) == ("--no-router-assume-kv-reuse",)


def test_the_captures_say_where_they_come_from() -> None:
    """Origin, version and date."""
    files = [
        package_json(PACKAGE, FRONTEND_FLAGS),
        *(json.loads(f.read_text()) for f in CAPTURED.glob("flags-*.json")),
    ]
    assert len(files) == 5
    for found in files:
        assert found["version"] == "1.6.1" and found["origin"] and found["date"]
