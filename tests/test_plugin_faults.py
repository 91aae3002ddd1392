"""A plugin that fails in some member: exit code, state, error, nothing left running.

``python benchmarks/plugin_faults.py`` tries all members and all faults.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def matrix() -> ModuleType:
    """The script that tries all."""
    file = ROOT / "benchmarks" / "plugin_faults.py"
    spec = importlib.util.spec_from_file_location("plugin_faults", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("fault", "state", "error"),
    [
        ("Engine.dialect=nonsense", "", r"engine .*: dialect\(\) returned a Nonsense, expected Di"),
        ("Workload.sessions=exit", "failed", r"workload .*: sessions\(\) raised SystemExit: 7"),
        ("Engine.ready=hang", "failed", r"engine .*: ready\(\) did not return within 4 s"),
        ("Session.next=stubborn@4", "failed", r"workload .*: Session.next\(\) did not return"),
        ("Codec.classify=nonsense@5", "failed", r"codec .*: classify\(\) returned a Nonsense"),
        ("Eval.score=raise", "failed", r"eval .*: score\(\) raised RuntimeError: failed on purp"),
        ("Reporter.render=interrupt", "complete", r"reporter .*: render\(\) raised KeyboardInter"),
        ("Node.probe=hang", "", r"hardware .*: probe\(\) did not return within 1 s"),
        ("NodeSampler.sample=raise", "failed", r"hardware .*: its sampler failed: RuntimeError: f"),
        ("Node.sampler=hang", "complete", "^$"),
        ("bench_point_started=hang", "complete", "^$"),
        ("Engine.quiescent=print", "complete", "^$"),
    ],
)
def test_fault(matrix: ModuleType, fault: str, state: str, error: str) -> None:
    """While planning, during the start, in a load worker, in the eval worker, in a report, in the
    node agent, in an observer; each names plugin, distribution and member.
    """
    row = matrix.try_fault(fault)
    assert (row.problem, row.state) == ("", state), row
    assert re.search(error, row.error), row.error
    assert not row.error or "(recording 1.0)" in row.error


def test_the_matrix_has_every_member_that_core_calls(matrix: ModuleType) -> None:
    """A new member of the API needs a row."""
    from tokenbench.guard.members import MEMBERS

    # Called only with Dynamo, a trace, or a prefix cache to fill; test_guard_members.py has them.
    others = {"Engine.worker", "Workload.arrivals_s", "Workload.priming"}
    members = {f"{base.__name__}.{name}" for base, names in MEMBERS.items() for name in names}
    assert members - others <= {fault.partition("=")[0] for fault in matrix.faults()}
