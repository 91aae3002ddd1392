"""The kinds of plugins: their entry-point groups, hooks and specs. Stated once, here."""

from __future__ import annotations

from typing import Any

import attrs

from tokenbench import api


@attrs.frozen
class Kind:
    """One kind. `spec` is None for plugins that only amend or observe."""

    name: str
    group: str
    hook: str | None
    spec: type[Any] | None


KINDS: tuple[Kind, ...] = (
    Kind("engine", "tokenbench.engines", "bench_register_engines", api.EngineSpec),
    Kind("hardware", "tokenbench.hardware", "bench_register_hardware", api.HardwareSpec),
    Kind("model", "tokenbench.models", "bench_register_models", api.ModelSpec),
    Kind("workload", "tokenbench.workloads", "bench_register_workloads", api.WorkloadSpec),
    Kind("eval", "tokenbench.evals", "bench_register_evals", api.EvalSpec),
    Kind("launcher", "tokenbench.launchers", "bench_register_launchers", api.LauncherSpec),
    Kind("reporter", "tokenbench.reporters", "bench_register_reporters", api.ReporterSpec),
    Kind("codec", "tokenbench.codecs", "bench_register_codecs", api.CodecSpec),
    Kind("amendment", "tokenbench.amendments", None, None),
    Kind("observer", "tokenbench.observers", None, None),
)

BY_NAME = {kind.name: kind for kind in KINDS}
BY_GROUP = {kind.group: kind for kind in KINDS}
