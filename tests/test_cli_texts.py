"""What commands say of wrong names and of small numbers."""

from __future__ import annotations

from typing import Any

import pytest

from tokenbench.cli.import_ import _FORMATS
from tokenbench.cli.plan import _count
from tokenbench.imports.formats import NAMES


def test_every_format_can_be_named() -> None:
    """The command lists them without importing the module that reads them."""
    assert _FORMATS == NAMES


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_metric_that_does_not_exist(cli: Any, more: tuple[str, ...]) -> None:
    """An error, not an empty list."""
    done = cli("metrics", "nosuchmetric", *more)
    assert done.code == 2, done.out
    assert "no metric and no limit has 'nosuchmetric' in its name" in done.err


@pytest.mark.parametrize("command", ["plan", "run"])
def test_the_hint_names_the_command(cli: Any, command: str) -> None:
    """That was typed."""
    done = cli(command, "--engine", "llamacpp", "--model", "smollm2", "--concurrency", "0")
    assert done.code == 2, done.out
    assert f"see `bench {command} --help`" in done.err


def test_one_is_singular() -> None:
    """None is plural."""
    assert [_count(n, "eval") for n in (0, 1, 2)] == ["0 evals", "1 eval", "2 evals"]
