"""Reporters: when core calls them, and the use of their artifacts."""

from __future__ import annotations

import pytest

from tokenbench.api import FrozenMap, PluginError
from tokenbench.cli.report import render
from tokenbench.measure.definitions import DEFINITIONS
from tokenbench.suite.schema import PluginRef

from .conftest import WholeRun


@pytest.mark.covers("Reporter.render")
def test_artifacts_are_written_or_printed(whole_run: WholeRun, notes, capfdbinary) -> None:
    """The view has all results and definitions. Artifacts without a name are printed."""
    render(whole_run.directory.path, None, ())
    (call,) = notes.of("Reporter.render")
    assert call["runs"] == [[whole_run.directory.id, "complete", 2, 1]]
    assert call["definitions"] == [definition.name for definition in DEFINITIONS]
    assert call["color"] is False
    assert capfdbinary.readouterr().out == b"a line\n"
    # A name is not a path: nothing is written outside of the folder.
    assert (whole_run.directory.path / "reports" / "page.txt").read_bytes() == b"a page"
    assert not (whole_run.directory.path / "page.txt").exists()


def test_a_failing_reporter_is_a_plugin_error(whole_run: WholeRun, notes) -> None:
    """The run's results are unchanged."""
    failing = PluginRef("recording", FrozenMap({"fails": True}))
    with pytest.raises(PluginError, match=r"render\(\) raised RuntimeError: failed"):
        render(whole_run.directory.path, [failing], ())
    assert whole_run.directory.results.read_text().count("\n") == 2
