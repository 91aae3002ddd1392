"""The displays: what is shown while a server starts."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
import structlog
from rich.console import Console

from tokenbench.cli import display


@pytest.fixture(autouse=True)
def default_logging() -> Iterator[None]:
    """The logger writes to the test's own standard error."""
    yield
    structlog.reset_defaults()


def test_lines_show_a_phase_every_few_seconds(monkeypatch, capsys) -> None:
    """Not each percent of the weights."""
    now = [100.0]
    monkeypatch.setattr(display.time, "monotonic", lambda: now[0])
    display.configure_logging()
    lines = display.Lines()
    for second in range(12):
        now[0] = 100.0 + second
        lines.starting(f"loading weights {second} %")
    shown = [line for line in capsys.readouterr().err.splitlines() if "starting" in line]
    assert len(shown) == 3
    assert 'phase="loading weights 0 %"' in shown[0] and "weights 10 %" in shown[2]


def test_the_live_display_shows_the_phase_beside_its_bar() -> None:
    """It replaces the one before; brackets in a log are not markup."""
    live = display.Live()
    out = io.StringIO()
    live._bar.live.console = Console(file=out, force_terminal=True, width=100)
    live.starting("loading weights 45 %")
    live.starting("compiling [bold]")
    (task,) = live._bar.tasks
    assert task.description == "starting"
    console = Console(file=out, width=100)
    console.print(live._bar.get_renderable())
    assert "compiling [bold]" in out.getvalue() and "45 %" not in out.getvalue()
