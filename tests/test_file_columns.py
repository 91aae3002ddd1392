"""Every column that the reporter `files` writes has a description."""

from __future__ import annotations

import csv
import io
import re

from tokenbench_reporter_files.plugin import FilesOptions, bench_register_reporters

from tokenbench.api import Estimate, FrozenMap, PluginContext
from tokenbench.measure.definitions import DEFINITIONS
from tokenbench_testing.samples import views


def test_every_column_is_described() -> None:
    """With all metrics that bench defines; units are those of the definitions."""
    one = Estimate(mean=1.0, half_width=0.1, values=(0.9, 1.1))
    metrics = FrozenMap({definition.name: one for definition in DEFINITIONS})
    view = views.view(views.run(views.point(metrics=metrics)), definitions=DEFINITIONS)
    (spec,) = bench_register_reporters()
    options = FilesOptions(formats=("csv",), describe=True)
    table, page = spec.factory(options, PluginContext()).render(view)
    assert page.name == "columns.md"
    header = next(csv.reader(io.StringIO(table.content.decode())))
    rows = re.findall(r"(?m)^\| `(.+?)` \| (.*?) ?\| (.*) \|$", page.content.decode())
    assert [name for name, _, _ in rows] == header
    assert [name for name, _, meaning in rows if not meaning] == []
    units = {name: unit for name, unit, _ in rows}
    assert units["ttft_s.p99"] == units["ttft_s.p99.half_width"] == "s"
    assert [d.name for d in DEFINITIONS if units[d.name] != d.unit.replace("1", "")] == []
