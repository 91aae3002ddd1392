"""Finding and loading plugins: a broken one is a row, an ambiguous one an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenbench.api import MachineError, PluginError, SingleTurn, UsageError
from tokenbench.api.deprecation import DEPRECATED, Deprecated
from tokenbench.plugins.discovery import discover
from tokenbench.plugins.kinds import KINDS
from tokenbench.plugins.registry import PluginRegistry
from tokenbench.plugins.requirements import check_requirements
from tokenbench.plugins.scaffold import write_package
from tokenbench.plugins.state import Broken, Loaded
from tokenbench.plugins.versions import OURS

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


def _install(
    site: Path,
    dist: str,
    module: str,
    source: str,
    *,
    api: str | None = OURS,
    attr: str = "",
    **entries: str,
) -> None:
    info = site / f"{dist.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n")
    lines = [f"{name} = {module}{attr}" for name in entries.values()]
    versions = "".join(f"{version} = tokenbench.api\n" for version in (api or "").split())
    said = f"[tokenbench.api]\n{versions}" if versions else ""
    (info / "entry_points.txt").write_text(
        said + "[tokenbench.workloads]\n" + "\n".join(lines) + "\n"
    )
    (site / f"{module}.py").write_text(source)


@pytest.fixture
def site(tmp_path: Path, monkeypatch) -> Path:
    """A folder in which distributions can be installed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_metadata_alone_lists_and_a_name_loads(site: Path) -> None:
    """Nothing is imported before it is named."""
    _install(site, "one", "plug_one", GOOD, a="w")
    host = PluginRegistry()
    (candidate,) = [c for c in host.candidates if c.distribution == "one"]
    assert (candidate.kind, candidate.name, candidate.version) == ("workload", "w", "1.0")
    assert host.loaded == ()
    assert host.spec("workload", "w").summary == "s"
    assert [c.name for c in host.loaded] == ["w"]


def test_one_name_from_two_distributions(site: Path) -> None:
    """Both are named; DIST/NAME settles it."""
    _install(site, "one", "plug_two_a", GOOD, a="w")
    _install(site, "two", "plug_two_b", GOOD, a="w")
    host = PluginRegistry()
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
    host = PluginRegistry()
    (candidate,) = [c for c in host.candidates if c.distribution == "bad"]
    broken = host.check(candidate)
    assert isinstance(broken, Broken)
    assert broken.stage == stage
    with pytest.raises(PluginError, match=f"is broken \\({stage}\\)"):
        host.spec("workload", "w")
    assert host.spec("workload", "fine").name == "fine"


def test_allow_list_and_leaving_out(site: Path, monkeypatch) -> None:
    """TOKENBENCH_PLUGINS names the only ones; `without` leaves one out."""
    _install(site, "one", "plug_allow", GOOD, a="w")
    assert not [c for c in discover(without=["w"]) if c.name == "w"]
    monkeypatch.setenv("TOKENBENCH_PLUGINS", "w")
    assert [c.name for c in discover() if c.distribution != "tokenbench"] == ["w"]
    monkeypatch.setenv("TOKENBENCH_PLUGINS", "")
    assert {c.distribution for c in discover()} == {"tokenbench"}


def test_unknown_names_suggest(site: Path) -> None:
    """Did you mean; and what is installed."""
    _install(site, "one", "plug_suggest", GOOD, a="worklord")
    with pytest.raises(UsageError) as caught:
        PluginRegistry().spec("workload", "workload")
    assert "did you mean 'worklord'?" in caught.value.hint


def test_kinds_are_one_table() -> None:
    """Each kind has a group of its own; those with specs have a hook."""
    assert len({kind.group for kind in KINDS}) == len(KINDS)
    assert all((kind.hook is None) == (kind.spec is None) for kind in KINDS)


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        (None, "does not say which API version"),
        ("0.2", "was written for API 0.2, this bench has 0.1"),
        ("9.0", "was written for API 9.0"),
        ("latest", "is not MAJOR.MINOR"),
    ],
)
def test_another_api_version_is_refused_before_anything_is_imported(
    site: Path, declared: str | None, said: str
) -> None:
    """The module would fail if it were imported."""
    _install(site, "old", f"plug_api_{declared}", "raise SystemExit", api=declared, a="w")
    host = PluginRegistry()
    (candidate,) = [c for c in host.candidates if c.distribution == "old"]
    assert candidate.api == declared
    broken = host.check(candidate)
    assert isinstance(broken, Broken) and broken.stage == "api" and said in broken.message


@pytest.mark.parametrize("versions", [f"{OURS} 9.0", f"9.0 {OURS}"])
def test_two_api_versions_are_a_broken_row(site: Path, versions: str) -> None:
    """Whichever comes last: none of them counts in silence."""
    _install(site, "two", "plug_two_versions", GOOD, api=versions, a="w")
    host = PluginRegistry()
    (candidate,) = [c for c in host.candidates if c.distribution == "two"]
    assert candidate.api == ", ".join(versions.split())
    broken = host.check(candidate)
    assert isinstance(broken, Broken) and broken.stage == "api"
    assert f"more than one API version: {candidate.api}" in broken.message
    with pytest.raises(PluginError, match="more than one API version"):
        host.spec("workload", "w")


def test_an_entry_point_that_names_an_object_is_told(site: Path) -> None:
    """It is not a module that is missing: entry points name a module."""
    _install(site, "one", "plug_object", GOOD, attr=":bench_register_workloads", a="w")
    with pytest.raises(PluginError, match="'plug_object:bench_register_workloads', an object") as e:
        PluginRegistry().spec("workload", "w")
    assert '"plug_object"' in e.value.hint


def test_a_hook_without_its_mark_is_told(site: Path) -> None:
    """pluggy would pass over it in silence."""
    _install(site, "one", "plug_unmarked", GOOD + "\ndef bench_run_started(event): pass\n", a="w")
    with pytest.raises(PluginError, match="bench_run_started looks like a hook") as caught:
        PluginRegistry().spec("workload", "w")
    assert "@hookimpl" in caught.value.hint


def test_a_broken_plugin_answers_no_hook(site: Path) -> None:
    """Its registration is rolled back, at whatever stage it failed; a sound neighbour in the same
    module keeps its hooks.
    """
    observer = "\n@hookimpl\ndef bench_run_started(event):\n    return None\n"
    _install(site, "one", "plug_rolled", GOOD + observer, a="w", b="missing")
    host = PluginRegistry()
    with pytest.raises(PluginError, match="no specs called 'missing'"):
        host.spec("workload", "missing")
    assert host.implementations("bench_run_started") == ()
    host.spec("workload", "w")
    with pytest.raises(PluginError):
        host.spec("workload", "missing")
    assert [i.plugin for i in host.implementations("bench_run_started")] == ["plug_rolled"]


def test_a_hook_gets_the_arguments_that_it_names(site: Path) -> None:
    """As pluggy promises: an implementation may ask for fewer."""
    source = GOOD + "\n@hookimpl\ndef bench_amend_launch(plan):\n    return plan\n"
    _install(site, "one", "plug_fewer", source, a="w")
    host = PluginRegistry()
    host.spec("workload", "w")
    (amend,) = host.implementations("bench_amend_launch")
    assert amend(request=1, plan=2) == 2


def test_the_traceback_is_kept(site: Path, monkeypatch, tmp_path: Path) -> None:
    """The error names the log; the log holds the traceback."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    _install(site, "one", "plug_log", "raise SystemError('deep inside')", a="w")
    with pytest.raises(PluginError) as caught:
        PluginRegistry().spec("workload", "w")
    assert caught.value.log is not None
    text = caught.value.log.read_text()
    assert "Traceback" in text and "deep inside" in text and "one/w" in text


def test_every_call_into_a_plugin_can_be_traced(site: Path, monkeypatch, capsys) -> None:
    """TOKENBENCH_TRACE=1 says what was called and what came back, on standard error."""
    _install(site, "one", "plug_traced", GOOD, a="w")
    PluginRegistry().spec("workload", "w")
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("TOKENBENCH_TRACE", "1")
    PluginRegistry().spec("workload", "w")
    said = capsys.readouterr().err
    assert "trace: plug_traced bench_register_workloads() -> [WorkloadSpec(name='w'" in said


def test_a_deprecated_name_warns_and_still_works(site: Path, monkeypatch) -> None:
    """It stays importable for one minor; the row of a plugin that uses it says so."""
    gone = Deprecated(since="0.1", gone_in="0.2", instead="SingleTurn", value=SingleTurn)
    monkeypatch.setitem(DEPRECATED, "OneTurn", gone)
    _install(site, "one", "plug_old", "from tokenbench.api import OneTurn\n" + GOOD, a="w")
    host = PluginRegistry()
    (candidate,) = [c for c in host.candidates if c.distribution == "one"]
    outcome = host.check(candidate)
    assert isinstance(outcome, Loaded)
    assert outcome.deprecated == (
        "tokenbench.api.OneTurn is deprecated since API 0.1 and gone in 0.2: use SingleTurn",
    )


def test_requirements_of_a_suite(site: Path) -> None:
    """Met, missing and too old; all that fail are named at once, with what to install."""
    _install(site, "one", "plug_required", GOOD, a="w")
    check_requirements(["one>=1.0", "one==1.0"])
    with pytest.raises(PluginError, match=r"one is 1\.0, not >=2; two is not installed") as caught:
        check_requirements(["one>=2", "two"])
    assert caught.value.hint == "pip install 'one>=2' 'two'"
    with pytest.raises(UsageError, match="is no requirement"):
        check_requirements(["one >> 2"])


@pytest.mark.parametrize("raised", ["SystemExit(0)", "GeneratorExit()", "BaseException('x')"])
def test_a_plugin_cannot_end_the_command(site: Path, raised: str) -> None:
    """Least of all with success: whatever an import raises is that plugin's error."""
    _install(site, "one", f"plug_ends_{abs(hash(raised))}", f"raise {raised}", a="w")
    with pytest.raises(PluginError, match=r"is broken \(import\)"):
        PluginRegistry().spec("workload", "w")


def test_a_damaged_distribution_hides_no_other(site: Path) -> None:
    """Its entry points cannot be read; the list goes on without it."""
    _install(site, "good", "plug_beside", GOOD, a="w")
    info = site / "bad-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: bad\nVersion: 1\n")
    (info / "entry_points.txt").write_bytes(b"[tokenbench.workloads]\n\xff\xfe garbage\n")
    assert "w" in PluginRegistry().names("workload")


def test_an_options_class_must_be_readable(site: Path) -> None:
    """A type that cannot be found, and no class at all."""
    head = "from tokenbench.api import WorkloadSpec, hookimpl, option, options\n"
    spec = "    return [WorkloadSpec(name='w', summary='s', factory=print, options={})]\n"
    hook = "@hookimpl\ndef bench_register_workloads():\n"
    late = "@options\nclass O:\n    x: 'Nowhere' = option(default=1, help='h')\n"
    _install(site, "one", "plug_hint", head + late + hook + spec.format("O"), a="w")
    with pytest.raises(PluginError, match="type that cannot be found"):
        PluginRegistry().spec("workload", "w")
    _install(site, "two", "plug_none", head + hook + spec.format("None"), a="w")
    with pytest.raises(PluginError, match=r"no options class|no specs called"):
        PluginRegistry().spec("workload", "two/w")


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("engine", "x" * 300, "300 characters is too long"),
        ("engine", "../x", "is no name"),
        ("engine", "a/b", "is no name"),
        ("engine", "x\n", "is no name"),
        ("engine", "class", "a word of Python"),
        ("engine", "none", "a word of Python"),
        ("engine", "true", "a word of YAML"),
        ("workload", "on", "a word of YAML"),
        ("engine", "engine", "its class would be Engine"),
        ("workload", "turn", "its class would be Turn"),
    ],
)
def test_a_name_of_which_no_package_can_be_made(
    tmp_path: Path, monkeypatch, kind: str, name: str, said: str
) -> None:
    """Told in words; nothing is written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=said):
        write_package(kind, name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["random", "json", "x" * 64])
def test_a_name_of_the_standard_library_is_a_name(tmp_path: Path, name: str) -> None:
    """The module has the kind before it, so it hides nothing; `random` is one of ours."""
    for kind in KINDS:
        made = write_package(kind.name, name, tmp_path / kind.name)
        for file in made.files:
            if file.endswith(".py"):
                compile((made.folder / file).read_text(), file, "exec")


@pytest.mark.parametrize("after", range(6))
def test_a_package_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch, after: int
) -> None:
    """A disk that is full after some files, in a folder that was there and one that was not."""
    (tmp_path / "there").mkdir()
    really, left = Path.open, [0]

    def full(self: Path, mode: str = "r", *args: object, **kwargs: object) -> object:
        if mode == "x":
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device")
        return really(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    for folder in ("there", "a/b/c"):
        left[0] = after
        with pytest.raises(MachineError, match="No space left on device"):
            write_package("engine", "x", tmp_path / folder)
        assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_a_folder_that_cannot_be_one(tmp_path: Path) -> None:
    """It is a file, lies below a file, has a name too long, or holds something."""
    (tmp_path / "file").write_text("kept")
    with pytest.raises(UsageError, match="is there already"):
        write_package("engine", "x", tmp_path / "file")
    with pytest.raises(UsageError, match="is there already"):
        write_package("engine", "x", tmp_path)
    for folder in (tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        with pytest.raises(MachineError, match="cannot write"):
            write_package("engine", "x", folder)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["kept"]
