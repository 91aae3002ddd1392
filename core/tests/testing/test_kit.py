"""The kit is tested too: every check refuses a plugin made bad for it, and nothing else does."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

import bad_plugins
import pytest
from bad_plugins import package

from tokenbench.testing.kit import Subject, Verdict, all_checks, checks_of, run_check

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
    for name, subject in module.BAD.items()
]


REAL = [
    pytest.param(name, subject, id=name)
    for module in MODULES
    for name, subject in getattr(module, "REAL", {}).items()
]


def _refused(subject: Subject, levels: tuple[int, ...], only: str | None = None) -> dict[str, str]:
    """What refuses it, and why. Life cycles take seconds, so of those only `only` is run."""
    wanted = [c for c in checks_of(subject.kind, levels) if only in (None, c.name) or c.level < 3]
    findings = [run_check(item, subject) for item in wanted]
    return {f.check.name: f.reason for f in findings if f.verdict is Verdict.FAILED}


@pytest.fixture(autouse=True)
def distributions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of level 0 can be found."""
    monkeypatch.syspath_prepend(str(package.SITE))


@pytest.mark.parametrize(("subject", "levels"), GOOD)
def test_a_sound_plugin_passes(subject: Subject, levels: tuple[int, ...]) -> None:
    """No check refuses it."""
    assert _refused(subject, levels) == {}


@pytest.mark.parametrize(("name", "subject", "levels", "also"), BAD)
def test_a_bad_plugin_is_refused_by_its_own_check(
    name: str, subject: Subject, levels: tuple[int, ...], also: set[str]
) -> None:
    """By that check, and by no other but those that cannot help it."""
    assert set(_refused(subject, levels, name)) == {name} | also


@pytest.mark.parametrize(("name", "subject"), REAL)
def test_a_bad_real_thing_is_refused(name: str, subject: Subject) -> None:
    """Level 4 too, where a bad thing can be made without the real one."""
    assert set(_refused(subject, (4,))) == {name}


def test_every_check_has_a_plugin_that_it_refuses() -> None:
    """1:1; printed with `pytest -s`."""
    names = Counter(name for module in MODULES for name in module.BAD)
    assert set(names) == {item.name for item in all_checks() if item.level < 4}
    assert set(names.values()) == {1}
    print(f"{len(names)} checks below level 4, {len(BAD)} bad plugins refused")
