"""Discovery and loading of plugins."""

from __future__ import annotations

import sys
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
    api_group = f"[tokenbench.api]\n{versions}" if versions else ""
    (info / "entry_points.txt").write_text(
        api_group + "[tokenbench.workloads]\n" + "\n".join(lines) + "\n"
    )
    (site / f"{module}.py").write_text(source)


@pytest.fixture
def site(tmp_path: Path, monkeypatch) -> Path:
    """A folder on the path to install distributions in."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_plugin_is_imported_when_it_is_requested(site: Path) -> None:
    """Discovery reads metadata only."""
    _install(site, "one", "plug_one", GOOD, a="w")
    registry = PluginRegistry()
    (candidate,) = [c for c in registry.candidates if c.distribution == "one"]
    assert (candidate.kind, candidate.name, candidate.version) == ("workload", "w", "1.0")
    assert registry.loaded == () and "plug_one" not in sys.modules
    assert registry.spec("workload", "w").summary == "s"
    assert [c.name for c in registry.loaded] == ["w"]


def test_two_distributions_with_one_name(site: Path) -> None:
    """The error names both; the full name DIST/NAME is unambiguous."""
    _install(site, "one", "plug_two_a", GOOD, a="w")
    _install(site, "two", "plug_two_b", GOOD, a="w")
    registry = PluginRegistry()
    with pytest.raises(PluginError, match="several distributions: one and two") as caught:
        registry.spec("workload", "w")
    assert caught.value.hint == "use a full name, such as one/w"
    assert registry.spec("workload", "two/w").name == "w"


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
def test_each_failure_has_its_stage(site: Path, source: str, stage: str) -> None:
    """`check` returns the stage, `spec` raises with it, and other plugins still load."""
    name = f"plug_{abs(hash(source))}"
    _install(site, "bad", name, source, a="w")
    _install(site, "good", f"{name}_good", GOOD.replace('"w"', '"fine"'), a="fine")
    registry = PluginRegistry()
    (candidate,) = [c for c in registry.candidates if c.distribution == "bad"]
    broken = registry.check(candidate)
    assert isinstance(broken, Broken)
    assert broken.stage == stage
    with pytest.raises(PluginError, match=f"is broken \\({stage}\\)"):
        registry.spec("workload", "w")
    assert registry.spec("workload", "fine").name == "fine"


def test_allow_list_and_exclusion(site: Path, monkeypatch) -> None:
    """TOKENBENCH_PLUGINS lists the only names found; `without` excludes names."""
    _install(site, "one", "plug_allow", GOOD, a="w")
    assert not [c for c in discover(without=["w"]) if c.name == "w"]
    monkeypatch.setenv("TOKENBENCH_PLUGINS", "w")
    assert [c.name for c in discover() if c.distribution != "tokenbench"] == ["w"]
    monkeypatch.setenv("TOKENBENCH_PLUGINS", "")
    assert {c.distribution for c in discover()} == {"tokenbench"}


def test_unknown_names_get_a_suggestion(site: Path) -> None:
    """The hint has the closest installed name."""
    _install(site, "one", "plug_suggest", GOOD, a="worklord")
    with pytest.raises(UsageError) as caught:
        PluginRegistry().spec("workload", "workload")
    assert "did you mean 'worklord'?" in caught.value.hint


def test_kinds_are_consistent() -> None:
    """Each kind has its own group; a kind with specs has a hook."""
    assert len({kind.group for kind in KINDS}) == len(KINDS)
    assert all((kind.hook is None) == (kind.spec is None) for kind in KINDS)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (None, "declares no API version"),
        ("0.1", "requires API 0.1, this bench supports 0.2"),
        ("0.3", "requires API 0.3, this bench supports 0.2"),
        ("9.0", "requires API 9.0"),
        ("latest", "invalid API version 'latest'"),
    ],
)
def test_an_unsupported_api_version_is_rejected_before_the_import(
    site: Path, declared: str | None, message: str
) -> None:
    """Importing the module would fail in another stage."""
    _install(site, "old", f"plug_api_{declared}", "raise SystemExit", api=declared, a="w")
    registry = PluginRegistry()
    (candidate,) = [c for c in registry.candidates if c.distribution == "old"]
    assert candidate.api == declared
    broken = registry.check(candidate)
    assert isinstance(broken, Broken) and broken.stage == "api" and message in broken.message


@pytest.mark.parametrize("versions", [f"{OURS} 9.0", f"9.0 {OURS}"])
def test_two_api_versions_are_rejected(site: Path, versions: str) -> None:
    """In either order."""
    _install(site, "two", "plug_two_versions", GOOD, api=versions, a="w")
    registry = PluginRegistry()
    (candidate,) = [c for c in registry.candidates if c.distribution == "two"]
    assert candidate.api == ", ".join(versions.split())
    broken = registry.check(candidate)
    assert isinstance(broken, Broken) and broken.stage == "api"
    assert f"more than one API version: {candidate.api}" in broken.message
    with pytest.raises(PluginError, match="more than one API version"):
        registry.spec("workload", "w")


def test_an_entry_point_that_names_an_object_is_rejected(site: Path) -> None:
    """Entry points name a module; the hint has its name."""
    _install(site, "one", "plug_object", GOOD, attr=":bench_register_workloads", a="w")
    with pytest.raises(
        PluginError, match="'plug_object:bench_register_workloads' names an object"
    ) as e:
        PluginRegistry().spec("workload", "w")
    assert '"plug_object"' in e.value.hint


def test_a_hook_without_hookimpl_is_rejected(site: Path) -> None:
    """pluggy would silently ignore it."""
    _install(site, "one", "plug_unmarked", GOOD + "\ndef bench_run_started(event): pass\n", a="w")
    with pytest.raises(PluginError, match="bench_run_started is not marked") as caught:
        PluginRegistry().spec("workload", "w")
    assert "@hookimpl" in caught.value.hint


def test_hooks_of_a_broken_plugin_are_not_called(site: Path) -> None:
    """Its registration is rolled back at any stage. A working plugin of the same module keeps its
    hooks.
    """
    observer = "\n@hookimpl\ndef bench_run_started(event):\n    return None\n"
    _install(site, "one", "plug_rolled", GOOD + observer, a="w", b="missing")
    registry = PluginRegistry()
    with pytest.raises(PluginError, match="no specs named 'missing'"):
        registry.spec("workload", "missing")
    assert registry.implementations("bench_run_started") == ()
    registry.spec("workload", "w")
    with pytest.raises(PluginError):
        registry.spec("workload", "missing")
    assert [i.plugin for i in registry.implementations("bench_run_started")] == ["plug_rolled"]


def test_a_hook_receives_the_arguments_it_names(site: Path) -> None:
    """As in pluggy, an implementation may name fewer arguments."""
    source = GOOD + "\n@hookimpl\ndef bench_amend_launch(plan):\n    return plan\n"
    _install(site, "one", "plug_fewer", source, a="w")
    registry = PluginRegistry()
    registry.spec("workload", "w")
    (amend,) = registry.implementations("bench_amend_launch")
    assert amend("pure", int, request=1, plan=2) == 2


def test_the_traceback_is_logged(site: Path, monkeypatch, tmp_path: Path) -> None:
    """The error names the log file, which contains the traceback."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    _install(site, "one", "plug_log", "raise SystemError('deep inside')", a="w")
    with pytest.raises(PluginError) as caught:
        PluginRegistry().spec("workload", "w")
    assert caught.value.log is not None
    text = caught.value.log.read_text()
    assert "Traceback" in text and "deep inside" in text and "one/w" in text


def test_calls_into_plugins_can_be_traced(site: Path, monkeypatch, capsys) -> None:
    """TOKENBENCH_TRACE=1 prints calls and results on standard error."""
    _install(site, "one", "plug_traced", GOOD, a="w")
    PluginRegistry().spec("workload", "w")
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("TOKENBENCH_TRACE", "1")
    PluginRegistry().spec("workload", "w")
    err = capsys.readouterr().err
    assert "trace: plug_traced bench_register_workloads() -> [WorkloadSpec(name='w'" in err


def test_a_deprecated_name_warns_and_still_works(site: Path, monkeypatch) -> None:
    """Importable for one more minor version; the plugin's outcome has the warning."""
    old = Deprecated(since="0.1", removed_in="0.2", instead="SingleTurn", value=SingleTurn)
    monkeypatch.setitem(DEPRECATED, "OneTurn", old)
    _install(site, "one", "plug_old", "from tokenbench.api import OneTurn\n" + GOOD, a="w")
    registry = PluginRegistry()
    (candidate,) = [c for c in registry.candidates if c.distribution == "one"]
    outcome = registry.check(candidate)
    assert isinstance(outcome, Loaded)
    (warning,) = outcome.deprecated
    assert warning == (
        "tokenbench.api.OneTurn is deprecated since API 0.1 and will be removed in 0.2: "
        "use SingleTurn"
    )


def test_requirements_of_a_suite(site: Path) -> None:
    """Met, missing and too old; the error names all failures and how to install them."""
    _install(site, "one", "plug_required", GOOD, a="w")
    check_requirements(["one>=1.0", "one==1.0"])
    with pytest.raises(PluginError, match=r"one is 1\.0, not >=2; two is not installed") as caught:
        check_requirements(["one>=2", "two"])
    assert caught.value.hint == "pip install 'one>=2' 'two'"
    with pytest.raises(UsageError, match="invalid requirement 'one >> 2'"):
        check_requirements(["one >> 2"])


@pytest.mark.parametrize("raised", ["SystemExit(0)", "GeneratorExit()", "BaseException('x')"])
def test_a_plugin_cannot_end_the_command(site: Path, raised: str) -> None:
    """Any exception at import, also SystemExit, is that plugin's error."""
    _install(site, "one", f"plug_ends_{abs(hash(raised))}", f"raise {raised}", a="w")
    with pytest.raises(PluginError, match=r"is broken \(import\)"):
        PluginRegistry().spec("workload", "w")


def test_a_damaged_distribution_does_not_hide_others(site: Path) -> None:
    """Its entry points cannot be read; it is skipped."""
    _install(site, "good", "plug_beside", GOOD, a="w")
    info = site / "bad-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: bad\nVersion: 1\n")
    (info / "entry_points.txt").write_bytes(b"[tokenbench.workloads]\n\xff\xfe garbage\n")
    assert "w" in PluginRegistry().names("workload")


def test_invalid_options_classes_are_rejected(site: Path) -> None:
    """An unresolvable type, and a value that is not a class."""
    head = "from tokenbench.api import WorkloadSpec, hookimpl, option, options\n"
    spec = "    return [WorkloadSpec(name='w', summary='s', factory=print, options={})]\n"
    hook = "@hookimpl\ndef bench_register_workloads():\n"
    late = "@options\nclass O:\n    x: 'Nowhere' = option(default=1, help='h')\n"
    _install(site, "one", "plug_hint", head + late + hook + spec.format("O"), a="w")
    with pytest.raises(PluginError, match="cannot resolve the types of the options of 'w'"):
        PluginRegistry().spec("workload", "w")
    _install(site, "two", "plug_none", head + hook + spec.format("None"), a="w")
    with pytest.raises(PluginError, match="invalid options class of 'w'"):
        PluginRegistry().spec("workload", "two/w")


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("engine", "x" * 300, "300 characters are too long"),
        ("engine", "../x", "invalid plugin name"),
        ("engine", "a/b", "invalid plugin name"),
        ("engine", "x\n", "invalid plugin name"),
        ("engine", "class", "reserved in Python"),
        ("engine", "none", "reserved in Python"),
        ("engine", "true", "reserved in YAML"),
        ("workload", "on", "reserved in YAML"),
        ("engine", "engine", "its class Engine would hide an import"),
        ("workload", "turn", "its class Turn would hide an import"),
    ],
)
def test_invalid_names_are_rejected(
    tmp_path: Path, monkeypatch, kind: str, name: str, message: str
) -> None:
    """Nothing is written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        write_package(kind, name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["random", "json", "x" * 64])
def test_names_of_standard_modules_are_allowed(tmp_path: Path, name: str) -> None:
    """The module's name starts with the kind, so it hides no other module."""
    for kind in KINDS:
        written = write_package(kind.name, name, tmp_path / kind.name)
        sources = [file for file in written.files if file.endswith(".py")]
        assert len(sources) == (4 if kind.name == "hardware" else 3)  # A program for hosts.
        for file in sources:
            compile((written.folder / file).read_text(), file, "exec")


@pytest.mark.parametrize("after", range(6))
def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch, after: int) -> None:
    """The disk is full after `after` files, in an existing and in a new folder."""
    (tmp_path / "there").mkdir()
    real_open, left = Path.open, [0]

    def full(self: Path, mode: str = "r", *args: object, **kwargs: object) -> object:
        if mode == "x":
            left[0] -= 1
            if left[0] < 0:
                raise OSError(28, "No space left on device")
        return real_open(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    for folder in ("there", "a/b/c"):
        left[0] = after
        with pytest.raises(MachineError, match="No space left on device"):
            write_package("engine", "x", tmp_path / folder)
        assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_unusable_folders_are_rejected(tmp_path: Path) -> None:
    """A file, a path below a file, a name too long, and a folder that is not empty."""
    (tmp_path / "file").write_text("kept")
    with pytest.raises(UsageError, match="already exists"):
        write_package("engine", "x", tmp_path / "file")
    with pytest.raises(UsageError, match="already exists"):
        write_package("engine", "x", tmp_path)
    for folder in (tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        with pytest.raises(MachineError, match="cannot write"):
            write_package("engine", "x", folder)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["kept"]
