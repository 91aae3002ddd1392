"""The kinds of plugins, with their entry-point groups, hooks and specs."""

from __future__ import annotations

from typing import Any

import attrs


@attrs.frozen
class Kind:
    """One kind. `hook` and `spec_name` are None for plugins that only amend or observe."""

    name: str
    group: str
    hook: str | None
    spec_name: str | None

    @property
    def spec(self) -> type[Any] | None:
        """The class of its specs. Imports the API only now: listing plugins does not need it."""
        if self.spec_name is None:
            return None
        from tokenbench import api

        found: type[Any] = getattr(api, self.spec_name)
        return found


KINDS: tuple[Kind, ...] = (
    Kind("engine", "tokenbench.engines", "bench_register_engines", "EngineSpec"),
    Kind("hardware", "tokenbench.hardware", "bench_register_hardware", "HardwareSpec"),
    Kind("model", "tokenbench.models", "bench_register_models", "ModelSpec"),
    Kind("workload", "tokenbench.workloads", "bench_register_workloads", "WorkloadSpec"),
    Kind("eval", "tokenbench.evals", "bench_register_evals", "EvalSpec"),
    Kind("launcher", "tokenbench.launchers", "bench_register_launchers", "LauncherSpec"),
    Kind("reporter", "tokenbench.reporters", "bench_register_reporters", "ReporterSpec"),
    Kind("codec", "tokenbench.codecs", "bench_register_codecs", "CodecSpec"),
    Kind("amendment", "tokenbench.amendments", None, None),
    Kind("observer", "tokenbench.observers", None, None),
)

BY_NAME = {kind.name: kind for kind in KINDS}
BY_GROUP = {kind.group: kind for kind in KINDS}
