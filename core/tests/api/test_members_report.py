"""Reporters as core calls them."""

from __future__ import annotations

import pytest

from tokenbench.api import FrozenMap, PluginError
from tokenbench.cli.report import render
from tokenbench.measure.definitions import DEFINITIONS
from tokenbench.suite.schema import PluginRef

from .conftest import WholeRun


@pytest.mark.covers("Reporter.render")
def test_a_run_is_rendered_and_its_artifacts_put_where_they_belong(
    whole_run: WholeRun, notes, capfdbinary
) -> None:
    """All results and definitions go in; a name is a file of the run, no name is printed."""
    render(whole_run.directory.path, None, ())
    (call,) = notes.of("Reporter.render")
    assert call["runs"] == [[whole_run.directory.id, "complete", 2, 1]]
    assert call["definitions"] == [definition.name for definition in DEFINITIONS]
    assert call["color"] is False
    assert capfdbinary.readouterr().out == b"a line\n"
    # A name is no path: nothing is written beside the folder of reports.
    assert (whole_run.directory.path / "reports" / "page.txt").read_bytes() == b"a page"
    assert not (whole_run.directory.path / "page.txt").exists()


def test_a_reporter_that_fails_is_named(whole_run: WholeRun, notes) -> None:
    """The run's results are not its business."""
    failing = PluginRef("recording", FrozenMap({"fails": True}))
    with pytest.raises(PluginError, match="the reporter 'recording' failed: RuntimeError: failed"):
        render(whole_run.directory.path, [failing], ())
    assert whole_run.directory.results.read_text().count("\n") == 2
