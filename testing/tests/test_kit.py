"""Tests of the kit: every check fails for a plugin made for it, and for no other."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

import bad_plugins
import pytest
from bad_plugins import package

from tokenbench_testing.kit import Subject, Verdict, all_checks, checks_of, run_check

MODULES = list(bad_plugins.modules())


def _levels(module: ModuleType) -> tuple[int, ...]:
    return getattr(module, "LEVELS", (0, 1, 2, 3))


GOOD = [
    pytest.param(
        subject,
        _levels(module),
        id=f"{module.__name__.rpartition('.')[2]}-{subject.kind}-{subject.name}",
    )
    for module in MODULES
    for subject in module.GOOD
]
BAD = [
    pytest.param(name, subject, _levels(module), module.ALSO.get(name, set()), id=name)
    for module in MODULES
    for name, bad in module.BAD.items()
    for subject in (bad if isinstance(bad, tuple) else (bad,))
]


REAL = [
    pytest.param(name, subject, id=name)
    for module in MODULES
    for name, subject in getattr(module, "REAL", {}).items()
]


def _failed(subject: Subject, levels: tuple[int, ...], only: str | None = None) -> dict[str, str]:
    """Failed checks and reasons. Level 3 takes seconds, so only the check `only` is run of it."""
    wanted = [c for c in checks_of(subject.kind, levels) if only in (None, c.name) or c.level < 3]
    findings = [run_check(item, subject) for item in wanted]
    return {f.check.name: f.reason for f in findings if f.verdict is Verdict.FAILED}


@pytest.fixture(autouse=True)
def distributions(monkeypatch: pytest.MonkeyPatch) -> None:
    """The distributions of level 0 are on the path."""
    monkeypatch.syspath_prepend(str(package.SITE))


@pytest.mark.parametrize(("subject", "levels"), GOOD)
def test_a_good_plugin_passes(subject: Subject, levels: tuple[int, ...]) -> None:
    """No check fails."""
    assert _failed(subject, levels) == {}


@pytest.mark.parametrize(("name", "subject", "levels", "also"), BAD)
def test_a_bad_plugin_fails_its_check(
    name: str, subject: Subject, levels: tuple[int, ...], also: set[str]
) -> None:
    """Its own check fails, and no other but those in ALSO."""
    assert set(_failed(subject, levels, name)) == {name} | also


@pytest.mark.parametrize(("name", "subject"), REAL)
def test_a_bad_plugin_fails_its_level_4_check(name: str, subject: Subject) -> None:
    """For checks that need no real server."""
    assert set(_failed(subject, (4,))) == {name}


def test_every_check_has_a_bad_plugin() -> None:
    """One for each check below level 4, or several for a check of several fields."""
    names = Counter(name for module in MODULES for name in module.BAD)
    assert set(names) == {item.name for item in all_checks() if item.level < 4}
    assert set(names.values()) == {1}
