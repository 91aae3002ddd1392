"""Base classes for plugin authors' tests: one a kind, run by pytest.

An author subclasses one of them and gives data::

    from tokenbench.testing import WorkloadKit

    class TestShout(WorkloadKit):
        name = "shout"
        options = {"words": 8}

Each check of the kind becomes one test. Capabilities and data switch checks; a test is never
overridden: defining a name that the base class does not declare as data is an error. A check that
a plugin cannot pass yet goes into `known_failures` with the reason; once it passes, that is an
error too.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tokenbench.api import Counters, EngineRequest, EvalSample, Question

from .kit import KitCheck, Subject, Verdict, checks_of, run_check
from .subject import subject_of


class Kit:
    """What all kinds share.

    `name`: the plugin's name, as a user types it (``DIST/NAME`` where two have it). `options`: to
    make it with, as in a suite. `known_failures`: check name to the reason.
    """

    __test__ = False
    kind: ClassVar[str]
    name: ClassVar[str] = ""
    options: ClassVar[Mapping[str, Any]] = {}
    known_failures: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, *, base: bool = False) -> None:
        if base:
            return
        cls.__test__ = True
        allowed = _data_names(cls) | {"name", "options", "known_failures", "__test__"}
        for name in vars(cls):
            if name in allowed or (name.startswith("__") and name.endswith("__")):
                continue
            if hasattr(Kit, name) or not name.startswith(("test_", "_")):
                raise TypeError(
                    f"{cls.__name__}.{name}: the kit's tests are switched by data "
                    f"({', '.join(sorted(allowed - {'__test__'}))}), never overridden"
                )
        if not cls.name:
            raise TypeError(f"{cls.__name__}: set `name` to the plugin's name")

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """One test a check."""
        if "kit_check" in metafunc.fixturenames:
            found = checks_of(self.kind)
            metafunc.parametrize("kit_check", found, ids=[f"{c.level}-{c.name}" for c in found])

    def test_conforms(self, kit_check: KitCheck) -> None:
        """The plugin keeps the contract of its kind."""
        import pytest

        finding = run_check(kit_check, self.subject())
        expected = self.known_failures.get(kit_check.name)
        if finding.verdict is Verdict.SKIPPED:
            pytest.skip(finding.reason)
        if finding.verdict is Verdict.FAILED:
            if expected is not None:
                pytest.xfail(expected)
            pytest.fail(f"{finding.reason}\n\n{kit_check.name}: {kit_check.doc}", pytrace=False)
        if expected is not None:
            pytest.fail(f"{kit_check.name} passes: take it out of known_failures", pytrace=False)

    @classmethod
    def subject(cls) -> Subject:
        """The plugin with its author's data."""
        data = {name: getattr(cls, name) for name in _data_names(cls)}
        return subject_of(cls.kind, cls.name, cls.options, data)


def _data_names(cls: type[Kit]) -> set[str]:
    """Names of the author's data: what the base class of the kind annotates."""
    names: set[str] = set()
    for base in cls.__mro__:
        if base not in (cls, Kit, object) and issubclass(base, Kit):
            names |= set(inspect.get_annotations(base))
    return names - {"kind"}


class EngineKit(Kit, base=True):
    """For engines.

    `requests`: more requests to plan than those made from the declared capabilities.
    `metrics_page`: a page captured from the real server, and `counters`: what it says. `real`:
    names of a model (level 4 starts the engine with it), None where the engine cannot run here.
    """

    kind = "engine"
    requests: ClassVar[Sequence[EngineRequest]] = ()
    metrics_page: ClassVar[str | None] = None
    counters: ClassVar[Counters | None] = None
    real: ClassVar[str | None] = None


class HardwareKit(Kit, base=True):
    """For hardware. Nothing more is needed: what is on this machine decides what can be run."""

    kind = "hardware"


class ModelKit(Kit, base=True):
    """For models. `texts`: what the tokenizer must give back unchanged, besides the kit's own."""

    kind = "model"
    texts: ClassVar[Sequence[str]] = ()


class WorkloadKit(Kit, base=True):
    """For workloads. `sessions`: how many the checks look at."""

    kind = "workload"
    sessions: ClassVar[int] = 20


class EvalKit(Kit, base=True):
    """For evals.

    `right`, `wrong`, `unparseable`: answers by what they are worth, each a question and a sample.
    A sample with a score counts as it was graded; without one the question is put to a scripted
    server that gives this answer, so that a harness grades it too.
    """

    kind = "eval"
    right: ClassVar[Sequence[tuple[Question, EvalSample]]] = ()
    wrong: ClassVar[Sequence[tuple[Question, EvalSample]]] = ()
    unparseable: ClassVar[Sequence[tuple[Question, EvalSample]]] = ()


class ReporterKit(Kit, base=True):
    """For reporters."""

    kind = "reporter"


class LauncherKit(Kit, base=True):
    """For launchers. `here` False: it cannot start processes on this machine."""

    kind = "launcher"
    here: ClassVar[bool] = True


class CodecKit(Kit, base=True):
    """For codecs.

    `stream`: a whole response body as the server sent it (the HTTP framing taken off), `text`: what
    it says, `tokens`: how many.
    """

    kind = "codec"
    stream: ClassVar[bytes | None] = None
    text: ClassVar[str | None] = None
    tokens: ClassVar[int | None] = None


class AmendmentKit(Kit, base=True):
    """For distributions that amend launches.

    `amends`: engines whose plans they must change. `requests`: more requests to ask with than the
    kit's own, where the answer depends on hardware, model or layout.
    """

    kind = "amendment"
    amends: ClassVar[Sequence[str]] = ()
    requests: ClassVar[Sequence[EngineRequest]] = ()


class ObserverKit(Kit, base=True):
    """For observers."""

    kind = "observer"
