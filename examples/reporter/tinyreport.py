"""A Markdown table with one row per load level, written to a file."""

from tokenbench import api


@api.options
class Options:
    file: str = api.option(default="tiny.md", help="file name in the run's reports folder")


class TinyReport(api.Reporter):
    def __init__(self, options: Options, context: api.PluginContext) -> None:
        self._file = options.file

    def render(self, view: api.View) -> list[api.Artifact]:
        lines = ["| run | load | state | output tok/s | power W |", "|---|---|---|---|---|"]
        for run in view.runs:
            for result in run.results:
                numbers = (_mean(result, "output_tok_s.whole"), _mean(result, "power_w."))
                cells = (run.name, result.level.label, result.state.value, *numbers)
                lines.append(f"| {' | '.join(map(_cell, cells))} |")
        text = "\n".join(lines) + "\n"
        return [api.Artifact(content=text.encode(), media_type="text/markdown", name=self._file)]


def _cell(text: str) -> str:
    """A table cell: no bars and no line breaks, which a run's name may contain."""
    return " ".join(text.replace("|", "\\|").split())


def _mean(result: api.PointResult, start: str) -> str:
    """The first measured metric whose name starts with `start`; a dash if there is none."""
    for name, estimate in result.metrics.items():
        if name.startswith(start) and estimate.mean is not None:
            return f"{estimate.mean:.4g}"
    return "-"


@api.hookimpl
def bench_register_reporters() -> list[api.ReporterSpec]:
    spec = api.ReporterSpec(
        name="tinyreport", summary="a Markdown table", options=Options, factory=TinyReport
    )
    return [spec]
