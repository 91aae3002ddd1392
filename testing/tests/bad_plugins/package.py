"""Level 0: distributions on disk with one fault each."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path

import attrs

from tokenbench.api import ModelSpec, WorkloadSpec
from tokenbench_testing.kit import Subject

# On the path only while the kit's tests run: other tests must not find these.
SITE = Path(tempfile.mkdtemp(prefix="tokenbench-bad-"))
atexit.register(shutil.rmtree, SITE, ignore_errors=True)

_GOOD = """
from tokenbench.api import WorkloadSpec, hookimpl

@hookimpl
def bench_register_workloads():
    return [WorkloadSpec(name="w", summary="s", factory=lambda *_: None)]
"""
_MODEL = """
from tokenbench.api import ModelSpec, hookimpl

@hookimpl
def bench_register_models():
    return [ModelSpec(name="m", summary="s", aliases=("m-large",))]
"""
_METADATA = """Metadata-Version: 2.4
Name: {name}
Version: 1.0
Summary: a workload
License-Expression: MIT
Requires-Python: >=3.11
Requires-Dist: tokenbench>=0.1
"""


def _subject(
    name: str, source: str = "", *, metadata: str = _METADATA, api: str = "0.2"
) -> Subject:
    """A distribution on disk. Its module is `source` followed by a good registration."""
    module = f"bad_{name}"
    info = SITE / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(metadata.format(name=module))
    (info / "entry_points.txt").write_text(
        f"[tokenbench.workloads]\nw = {module}\n[tokenbench.api]\n{api} = tokenbench.api\n"
    )
    (SITE / f"{module}.py").write_text(source + _GOOD)
    spec = WorkloadSpec(name="w", summary="s", factory=lambda *_: None)
    return Subject(kind="workload", name="w", module=module, distribution=module, spec=spec)


def _model() -> Subject:
    """A distribution with one model, whose second name is not an entry point."""
    subject = _subject("unnamed", _MODEL)
    info = SITE / f"{subject.module}-1.0.dist-info" / "entry_points.txt"
    text = info.read_text().replace("tokenbench.workloads", "tokenbench.models")
    info.write_text(text.replace("w =", "m ="))
    spec = ModelSpec(name="m", summary="s", aliases=("m-large",))
    return attrs.evolve(subject, kind="model", name="m", spec=spec)


(SITE / "tokenbench_other.py").write_text("")
(SITE / "sglang.py").write_text('"""Stands in for the library of that name."""')

BAD = {
    "metadata-is-complete": _subject(
        "bare", metadata=_METADATA.replace("tokenbench>=0.1", 'tokenbench-testing; extra == "test"')
    ),
    "api-version-fits": _subject("future", api="7.0"),
    "imports-alone": _subject("absent", "import nothing_like_that\n"),
    "imports-quickly": _subject("slow", "sum(i * i for i in range(20_000_000))\n"),
    "imports-nothing-heavy": _subject("heavy", "import sglang\n"),
    "imports-only-the-api": _subject("nosy", "import tokenbench_other\n"),
    "registration-has-no-side-effects": _subject(
        "loud", "import socket\nsocket.socket().close()\n"
    ),
    "names-have-entry-points": _model(),
    "prints-nothing": _subject("chatty", "print('hello')\n"),
}
GOOD = [_subject("good")]
ALSO: dict[str, set[str]] = {}
LEVELS = (0,)
