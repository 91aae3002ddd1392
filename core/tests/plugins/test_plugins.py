"""Finding and loading plugins: a broken one is a row, an ambiguous one an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenbench.api import PluginError, UsageError
from tokenbench.plugins.discovery import discover
from tokenbench.plugins.host import PluginHost
from tokenbench.plugins.kinds import KINDS

GOOD = """
from tokenbench.api import WorkloadSpec, hookimpl

@hookimpl
def bench_register_workloads():
    return [WorkloadSpec(name="w", summary="s", factory=lambda options: None)]
"""
WRONG = """
from tokenbench.api import hookimpl

@hookimpl
def bench_register_workloads():
    return ["not a spec"]
"""
RAISES = """
from tokenbench.api import hookimpl

@hookimpl
def bench_register_workloads():
    raise RuntimeError("no")
"""


def _install(site: Path, dist: str, module: str, source: str, **entries: str) -> None:
    info = site / f"{dist.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n")
    lines = [f"{name} = {module}" for name in entries.values()]
    (info / "entry_points.txt").write_text("[tokenbench.workloads]\n" + "\n".join(lines) + "\n")
    (site / f"{module}.py").write_text(source)


@pytest.fixture
def site(tmp_path: Path, monkeypatch) -> Path:
    """A folder in which distributions can be installed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_metadata_alone_lists_and_a_name_loads(site: Path) -> None:
    """Nothing is imported before it is named."""
    _install(site, "one", "plug_one", GOOD, a="w")
    host = PluginHost()
    (candidate,) = [c for c in host.candidates if c.distribution == "one"]
    assert (candidate.kind, candidate.name, candidate.version) == ("workload", "w", "1.0")
    assert host.loaded == ()
    assert host.spec("workload", "w").summary == "s"
    assert [c.name for c in host.loaded] == ["w"]


def test_one_name_from_two_distributions(site: Path) -> None:
    """Both are named; DIST/NAME settles it."""
    _install(site, "one", "plug_two_a", GOOD, a="w")
    _install(site, "two", "plug_two_b", GOOD, a="w")
    host = PluginHost()
    with pytest.raises(PluginError, match="one and two") as caught:
        host.spec("workload", "w")
    assert caught.value.hint == "name one of them: one/w"
    assert host.spec("workload", "two/w").name == "w"


@pytest.mark.parametrize(
    ("source", "stage"),
    [
        ("import nothing_like_that", "import"),
        ("raise SystemError('x')", "import"),
        ("", "register"),
        (WRONG, "spec"),
        (RAISES, "register"),
        (GOOD.replace('name="w"', 'name="other"'), "spec"),
        (GOOD + "\n@hookimpl\ndef bench_registr(): pass\n", "hooks"),
    ],
)
def test_each_way_to_be_broken_has_its_stage(site: Path, source: str, stage: str) -> None:
    """Asked for: an error with a hint. Not asked for: a row. Others still work."""
    name = f"plug_{abs(hash(source))}"
    _install(site, "bad", name, source, a="w")
    _install(site, "good", f"{name}_good", GOOD.replace('"w"', '"fine"'), a="fine")
    host = PluginHost()
    (candidate,) = [c for c in host.candidates if c.distribution == "bad"]
    broken = host.check(candidate)
    assert broken is not None
    assert broken.stage == stage
    with pytest.raises(PluginError, match=f"is broken \\({stage}\\)"):
        host.spec("workload", "w")
    assert host.spec("workload", "fine").name == "fine"


def test_allow_list_and_leaving_out(site: Path, monkeypatch) -> None:
    """TOKENBENCH_PLUGINS names the only ones; `without` leaves one out."""
    _install(site, "one", "plug_allow", GOOD, a="w")
    assert not [c for c in discover(without=["w"]) if c.name == "w"]
    monkeypatch.setenv("TOKENBENCH_PLUGINS", "w")
    assert [c.name for c in discover()] == ["w"]
    monkeypatch.setenv("TOKENBENCH_PLUGINS", "")
    assert discover() == ()


def test_unknown_names_suggest(site: Path) -> None:
    """Did you mean; and what is installed."""
    _install(site, "one", "plug_suggest", GOOD, a="worklord")
    with pytest.raises(UsageError) as caught:
        PluginHost().spec("workload", "workload")
    assert "did you mean 'worklord'?" in caught.value.hint


def test_kinds_are_one_table() -> None:
    """Each kind has a group of its own; those with specs have a hook."""
    assert len({kind.group for kind in KINDS}) == len(KINDS)
    assert all((kind.hook is None) == (kind.spec is None) for kind in KINDS)
