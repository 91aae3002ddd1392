"""Flags and the picker's configuration against llm-d's Go source (flags.json)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
from llmd_cases import REUSE, content, processes, request, xpyd
from tokenbench_engine_llmd.grammar import EPP, PACKAGE, SIDECAR, grammar
from tokenbench_engine_llmd.options import DECIDERS, PICKERS, SCORERS
from tokenbench_engine_llmd.plugin import LlmdOptions

from tokenbench.api import (
    ProcessSpec,
    package_json,
)

# One or more values of every option, with the options that it needs.
_SAMPLES: dict[str, tuple[dict[str, Any], ...]] = {
    "python": ({"python": "/opt/vllm/bin/python"},),
    "epp": ({"epp": "/opt/epp"},),
    "sidecar": ({"sidecar": "/opt/pd-sidecar"},),
    "envoy": ({"envoy": "/opt/envoy"},),
    "start_timeout_s": ({"start_timeout_s": 60.0},),
    "worker_options": ({"worker_options": "enforce_eager=true"},),
    "scorers": (*({"scorers": (one,)} for one in SCORERS), {"scorers": SCORERS}),
    "picker": tuple({"picker": one} for one in PICKERS),
    "decider": tuple({"decider": one} for one in DECIDERS),
    "non_cached_tokens": ({"decider": "prefix", "non_cached_tokens": 64},),
}
_REQUESTS = (
    request(),
    request(needs=REUSE),
    request(*xpyd(4, 1)),
    request(*xpyd(1, 2), needs=REUSE),
)


def _all() -> Iterator[dict[str, ProcessSpec]]:
    for asked in _REQUESTS:
        for samples in _SAMPLES.values():
            for options in samples:
                yield processes(asked, **options)


def test_every_option_has_a_sample() -> None:
    """A new option is checked against the source, or this test fails."""
    assert set(_SAMPLES) == {field.name for field in attrs.fields(LlmdOptions)}


def test_the_programs_take_every_flag() -> None:
    """Name and type; a switch is turned off by =false."""
    seen: dict[str, set[str]] = {EPP: set(), SIDECAR: set()}
    for plan in _all():
        for role, process in plan.items():
            program = EPP if role == EPP else SIDECAR
            if role != EPP and not role.endswith("-sidecar"):
                continue
            for name, value in process.flags.items():
                kind = package_json(PACKAGE)[program][name]
                assert isinstance(value, bool) is (kind == "bool"), name
                if kind == "int" and "{" not in str(value):
                    int(str(value))
                if value is False:
                    assert process.grammar.render(name, value) == (f"{name}=false",)
                seen[program].add(name)
    assert {program: len(found) for program, found in seen.items()} == {EPP: 10, SIDECAR: 5}, seen
    assert "nixlv2" in package_json(PACKAGE)["connectors"]


def test_the_picker_has_every_plugin() -> None:
    """Its types, neither deprecated nor behind the flag for experiments, and their parameters."""
    used: set[str] = set()
    for plan in _all():
        config = content(plan[EPP], "epp.yaml")
        names = [one["type"] for one in config["plugins"]]
        assert len(names) == len(set(names))
        for one in config["plugins"]:
            known = package_json(PACKAGE)["plugins"][one["type"]]
            assert known["stability"] == "beta" and not known["deprecated"], one
            assert set(one.get("parameters", {})) <= set(known["parameters"]), one
        for profile in config["schedulingProfiles"]:
            assert {one["pluginRef"] for one in profile["plugins"]} <= set(names)
        assert config["dataLayer"]["discovery"]["pluginRef"] in names
        used |= set(names)
    assert {*SCORERS, *PICKERS, *DECIDERS.values()} <= used


def test_other_spellings_meet() -> None:
    """A suite's spelling of a flag replaces the plugin's."""
    assert grammar(EPP).canonical("--tracing=false", True) == ("--tracing", False)
    assert grammar(EPP).render("--tracing", True) == ("--tracing",)


def test_the_source_says_where_it_comes_from() -> None:
    """Tag, commit and date."""
    found = package_json(PACKAGE)
    assert found["tag"] == "v0.10.0" and len(found["commit"]) == 40
    assert found["origin"] and found["date"] and found["committed"] == "2026-08-17"
