"""Base classes for plugin authors' tests, one per kind, run by pytest.

Subclass one of them and set its data::

    from tokenbench_testing import WorkloadKit

    class TestShout(WorkloadKit):
        name = "shout"
        options = {"words": 8}

Each check of the kind becomes one test. Capabilities and data select checks; tests cannot be
overridden: defining a name that the base class does not declare as data is an error. List checks
that the plugin cannot pass yet in `known_failures`, with the reason; a listed check that passes is
an error too.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tokenbench.api import Counters, EngineRequest, EvalSample, Question

from .kit import KitCheck, Subject, Verdict, checks_of, run_check
from .subject import subject_of


class Kit:
    """Base of all kinds.

    `name`: the plugin's name as a user types it (``DIST/NAME`` if it is ambiguous). `options`: as
    in a suite. `known_failures`: check name to reason.
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
                    f"{cls.__name__}.{name}: the kit's tests cannot be overridden; set data "
                    f"({', '.join(sorted(allowed - {'__test__'}))}) instead"
                )
        if not cls.name:
            raise TypeError(f"{cls.__name__}: set `name` to the plugin's name")

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """One test per check."""
        if "kit_check" in metafunc.fixturenames:
            found = checks_of(self.kind)
            metafunc.parametrize("kit_check", found, ids=[f"{c.level}-{c.name}" for c in found])

    def test_conforms(self, kit_check: KitCheck) -> None:
        """The plugin conforms to its kind's contract."""
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
            pytest.fail(f"{kit_check.name} passes: remove it from known_failures", pytrace=False)

    @classmethod
    def subject(cls) -> Subject:
        """The plugin with its author's data."""
        data = {name: getattr(cls, name) for name in _data_names(cls)}
        return subject_of(cls.kind, cls.name, cls.options, data)


def _data_names(cls: type[Kit]) -> set[str]:
    """Names of the author's data: the annotations of the kind's base class."""
    names: set[str] = set()
    for base in cls.__mro__:
        if base not in (cls, Kit, object) and issubclass(base, Kit):
            names |= set(inspect.get_annotations(base))
    return names - {"kind"}


class EngineKit(Kit, base=True):
    """For engines.

    `requests`: more requests to plan, besides those derived from the declared capabilities.
    `metrics_page`: a metrics page captured from the real server; `counters`: its expected content.
    `real`: name of a model for level 4, which starts the engine; None if the engine cannot run
    here.
    """

    kind = "engine"
    requests: ClassVar[Sequence[EngineRequest]] = ()
    metrics_page: ClassVar[str | None] = None
    counters: ClassVar[Counters | None] = None
    real: ClassVar[str | None] = None


class HardwareKit(Kit, base=True):
    """For hardware. Needs no data: the devices of this machine decide which checks run."""

    kind = "hardware"


class ModelKit(Kit, base=True):
    """For models. `texts`: more texts that the tokenizer must round-trip, besides the kit's own."""

    kind = "model"
    texts: ClassVar[Sequence[str]] = ()


class WorkloadKit(Kit, base=True):
    """For workloads. `sessions`: number of sessions to check."""

    kind = "workload"
    sessions: ClassVar[int] = 20


class EvalKit(Kit, base=True):
    """For evals.

    `right`, `wrong`, `unparseable`: example answers, each a question and a sample. A sample with a
    score counts as graded. Otherwise a scripted server gives its answer to the question, so that a
    harness can grade it.
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

    `stream`: a complete response body as the server sent it, without HTTP chunking; `text`: the
    text it contains; `tokens`: the number of tokens.
    """

    kind = "codec"
    stream: ClassVar[bytes | None] = None
    text: ClassVar[str | None] = None
    tokens: ClassVar[int | None] = None


class AmendmentKit(Kit, base=True):
    """For amendments.

    `amends`: engines whose plans must change. `requests`: more requests, if the answer depends on
    hardware, model or layout.
    """

    kind = "amendment"
    amends: ClassVar[Sequence[str]] = ()
    requests: ClassVar[Sequence[EngineRequest]] = ()


class ObserverKit(Kit, base=True):
    """For observers."""

    kind = "observer"
