"""Options of published protocols.

`agentx`: SemiAnalysisAI/InferenceX at 843c625 (2026-08-22), benchmarks/benchmark_lib.sh,
build_replay_cmd; ai-dynamo/aiperf at 01a4d17, docs/tutorials/agentx-mvp.md. Differences are in the
README.
"""

from __future__ import annotations

from typing import Any

import attrs

PRESETS: dict[str, dict[str, Any]] = {
    "agentx": {
        "format": "weka",
        "without_output": "one",
        "idle_cap_s": 300.0,
        "join": "next",
        "begin_least": 0.25,
        "begin_most": 0.75,
    }
}


def apply(options: Any, preset: str) -> None:
    """Set the options of a preset on an instance under construction.

    Raises:
        ValueError: another value was given for one of them.
    """
    defaults = {field.name: field.default for field in attrs.fields(type(options))}
    for name, value in PRESETS.get(preset, {}).items():
        if getattr(options, name) not in (defaults[name], value):
            raise ValueError(f"{name}: the preset {preset} has {value}; remove one of them")
        object.__setattr__(options, name, value)
