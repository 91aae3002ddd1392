"""An amendment and an observer: small batches for llama.cpp, and one line per measured point."""

from pathlib import Path

from tokenbench import api

WHY = "small batches: a long prompt delays the tokens of other requests less"


@api.options
class Options:
    tokens: int = api.option(default=256, help="tokens of a batch", minimum=32)


@api.hookimpl
def bench_use_options() -> type[Options]:
    return Options


@api.hookimpl
def bench_amend_launch(
    request: api.AmendRequest, plan: api.LaunchPlan, options: Options
) -> api.Amendment | None:
    if request.engine != "llamacpp":
        return None
    flags = api.FrozenMap({"--batch-size": options.tokens})
    return api.Amendment(
        reason=WHY, flags=api.FrozenMap({process.role: flags for process in plan.processes})
    )


lines: dict[str, list[str]] = {}
"""The points of each run so far."""


@api.hookimpl
def bench_point_finished(event: api.PointFinished) -> None:
    result = event.result
    speed = result.mean("output_tok_s.steady")
    shown = "" if speed is None else f"{speed:.1f}"
    line = f"{result.level.label},{shown},{result.measurement}"
    lines.setdefault(event.run, []).append(line)


@api.hookimpl
def bench_run_finished(event: api.RunFinished) -> None:
    rows = ["load,output tok/s,measurement", *lines.pop(event.run, [])]
    Path(event.path, "tinybatch.csv").write_text("\n".join(rows) + "\n")
