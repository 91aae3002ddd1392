"""docs/reference/engines.md: what each engine plugin can plan, and what of it ran for real.

The first comes from the plugins' capabilities. The second comes from ``engine-proofs.json``, which
tests with the marker `proves` write when they pass: ``pytest --record-proofs``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
from reference_text import table

from tokenbench.api import EngineCapabilities
from tokenbench.plugins.registry import PluginRegistry

PROOFS = Path(__file__).resolve().parent.parent / "docs" / "reference" / "engine-proofs.json"
_GROUPS = {
    "axes": "Parallel degrees",
    "wide_ep": "Experts over several hosts",
    "roles": "Pools",
    "kv_transfer": "KV cache from prefill to decode",
    "speculation": "Drafting",
    "kv_offload": "KV cache outside of the accelerator",
    "prefix_caching_off": "Prefix cache off",
    "reset_cache": "Prefix cache emptied between points",
    "counters": "Counters of its own",
    "tool_calls": "Tool calls",
    "hardware": "Chips",
    "precisions": "Weights",
}
# The fields of a build.
_BUILD = ("axes", "roles", "speculation")
_HEAD = """# Engines and what they can do

What each engine plugin declares (`bench plugins show NAME`), and what of it has run for real.

* **run**: a test of this repository measured the real engine with it; the table at the end says
  which version, when, and by which test.
* planned: the plugin plans it, and tests check each flag against the engine's own definitions. No
  recorded test measured it: mostly there was no such chip, or no build of the engine without one.
* -: the plugin does not plan it. If the engine itself lacks it, the reason is below.

`openai` measures a server that somebody else started, so most rows do not apply to it. Chips count
as run only where a test ran on one.
"""


def engines() -> dict[str, EngineCapabilities]:
    """Our engines' capabilities, by name."""
    registry = PluginRegistry()
    return {
        candidate.name: registry.spec("engine", candidate.name).capabilities
        for candidate in registry.candidates
        if candidate.kind == "engine"
        and candidate.distribution.startswith("tokenbench-")
        and candidate.distribution != "tokenbench-test-plugins"
    }


def proofs() -> dict[str, dict[str, dict[str, Any]]]:
    """What ran, by engine and capability: version, date, test."""
    found: dict[str, dict[str, dict[str, Any]]] = json.loads(PROOFS.read_text(encoding="utf-8"))
    return found


def engines_page() -> str:
    """The page."""
    declared, ran = engines(), proofs()
    lines = [_HEAD, table(("", *(f"`{name}`" for name in declared)), _rows(declared, ran))]
    lines += ["", "## What an engine lacks", ""]
    for name, capabilities in declared.items():
        lines += [f"* `{name}`, {what}: {why}" for what, why in capabilities.lacks.items()]
    lines += ["", "## Builds for other chips", ""]
    lines += [line for name, one in declared.items() for line in _builds(name, one)]
    lines += ["", "## What ran", ""]
    head = ("engine", "capability", "version", "date", "test")
    rows = [
        (f"`{name}`", f"`{what}`", by["version"] or "-", by["date"], f"`{by['test']}`")
        for name, capabilities in ran.items()
        for what, by in capabilities.items()
    ]
    return "\n".join([*lines, table(head, rows)]) + "\n"


def _builds(name: str, declared: EngineCapabilities) -> Iterator[str]:
    """What they can do; core refuses the rest on that chip."""
    for chip, build in declared.builds.items():
        words = (
            f"{_GROUPS[field]}: {', '.join(getattr(build, field)) or 'none'}" for field in _BUILD
        )
        lacks = "; ".join(dict.fromkeys(build.lacks.values()))
        yield f"* `{name}` on `{chip}`. {'. '.join(words)}. What it lacks: {lacks}."


def _rows(
    declared: dict[str, EngineCapabilities], ran: dict[str, dict[str, Any]]
) -> Iterator[tuple[str, ...]]:
    for field, title in _GROUPS.items():
        values = [getattr(one, field) for one in declared.values()]
        if isinstance(getattr(attrs.fields(EngineCapabilities), field).default, bool):
            yield (title, *(_cell(name, field, one, ran) for name, one in declared.items()))
            continue
        for value in dict.fromkeys(value for found in values for value in found):
            cells = (_cell(name, value, one, ran) for name, one in declared.items())
            yield (f"{title}: `{value}`", *cells)


def _cell(
    engine: str, name: str, declared: EngineCapabilities, ran: dict[str, dict[str, Any]]
) -> str:
    if name not in declared.names:
        return "-"
    return "**run**" if name in ran.get(engine, {}) else "planned"
