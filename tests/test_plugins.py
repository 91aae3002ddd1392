"""`bench plugins` for users and authors."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import pytest
from tests_bench import SITE

from tokenbench.plugins.kinds import BY_NAME, KINDS

WORKLOAD = """
from tokenbench.api import SingleTurn, TextPrompt, Turn, Workload, WorkloadSpec, hookimpl

class Same(Workload):
    def sessions(self, context, seed):
        while True:
            yield SingleTurn(Turn(prompt=TextPrompt("a b c"), max_tokens=4))

@hookimpl
def bench_register_workloads():
    return [WorkloadSpec(name="{name}", summary="s", factory=lambda *_: Same())]
"""
BROKEN = {
    "absent": ("import nothing_like_that", "0.2", "import: ModuleNotFoundError"),
    "future": (WORKLOAD, "9.0", "api: it requires API 9.0"),
    "misspelt": (
        WORKLOAD + "\n@hookimpl\ndef bench_registr_workloads():\n    return []\n",
        "0.2",
        "hooks: unknown hook 'bench_registr_workloads'",
    ),
    "double": (WORKLOAD, "0.2", "duplicate: 'double' is also registered by third-0"),
    "wrong": (
        WORKLOAD.replace("[WorkloadSpec(name", "['w', WorkloadSpec(name"),
        "0.2",
        "spec: bench_register_workloads returned a str in its list",
    ),
}


def _install(site: Path, dist: str, name: str, source: str, api: str) -> None:
    info = site / f"{dist.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    module = dist.replace("-", "_")
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[tokenbench.api]\n{api} = tokenbench.api\n[tokenbench.workloads]\n{name} = {module}\n"
    )
    (site / f"{module}.py").write_text(source.replace("{name}", name))


@pytest.fixture
def thirty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """30 third-party plugins, five of them broken, each for another reason."""
    site = tmp_path / "site"
    site.mkdir()
    for number in range(25):
        name = "double" if number == 0 else f"third-{number}"
        _install(site, f"third-{number}", name, WORKLOAD, "0.2")
    for name, (source, api, _) in BROKEN.items():
        _install(site, f"broken-{name}", name, source, api)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.syspath_prepend(str(site))


def test_list_is_complete_despite_broken_plugins(cli, thirty) -> None:
    """Every plugin has a row, in JSON and in the table."""
    done = cli("plugins", "list", "--json")
    assert done.code == 0, done.err
    rows = {(row["distribution"], row["kind"], row["name"]): row for row in json.loads(done.out)}
    assert len([dist for dist, _, _ in rows if dist.startswith(("third-", "broken-"))]) == 30
    (future,) = (row for (dist, _, _), row in rows.items() if dist == "broken-future")
    assert future["api"] == "9.0"
    table = cli("plugins", "list").out.splitlines()
    assert table[0].split() == ["KIND", "NAME", "DISTRIBUTION", "VERSION", "API"]
    assert len(table) == len(rows) + 1


def test_check_reports_the_stage_of_each_failure(bench, thirty) -> None:
    """Sound plugins are ok and list their capabilities. Each is imported in a process of its own,
    so only some are checked here.
    """
    good = [f"third-{n}" for n in range(1, 5)]
    only = ",".join(("double", "random", "scripted", *good, *BROKEN))
    done = bench("plugins", "list", "--check", "--json", TOKENBENCH_PLUGINS=only)
    assert done.code == 0, done.err
    states = {row["distribution"]: row for row in json.loads(done.out)}
    for name, (_, _, error) in BROKEN.items():
        row = states[f"broken-{name}"]
        assert row["state"] == "broken"
        assert f"{row['stage']}: {row['message']}".startswith(error), row
        assert row["hint"]
    assert {states[dist]["state"] for dist in good} == {"ok"}
    assert states["tokenbench-workload-random"]["capabilities"] == {}


def test_table_of_a_check_shows_the_failure(bench, thirty) -> None:
    """TOKENBENCH_PLUGINS limits the check to one plugin."""
    table = bench("plugins", "list", "--check", TOKENBENCH_PLUGINS="absent").out
    assert re.search(r"broken-absent .*import: ModuleNotFoundError", table)


def test_broken_plugins_do_not_affect_a_run(bench, thirty) -> None:
    """They are installed, but the run does not use them."""
    load = ("--workload", "third-1", "--requests", "4", "--allow-invalid")
    done = bench("run", "--engine", "scripted", *load)
    assert done.code == 0, done.err
    assert "Traceback" not in done.err


def test_use_of_a_broken_or_ambiguous_plugin(cli, thirty) -> None:
    """A broken plugin is exit code 3. A distribution's name resolves an ambiguous one."""
    plan = ("plan", "--engine", "scripted", "--workload")
    done = cli(*plan, "absent")
    assert done.code == 3
    assert "is broken (import)" in done.complaint[0]
    done = cli(*plan, "double")
    assert "the workload 'double' is registered by several distributions" in done.complaint[0]
    done = cli(*plan, "third-0/double")
    assert done.code == 0, done.err
    done = cli("--no-plugin", "third-1", *plan, "third-1")
    assert done.code == 2


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of distributions."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.syspath_prepend(str(folder))
    return folder


@pytest.mark.parametrize(
    ("group", "meant"),
    [
        ("tokenbench.workload", "'tokenbench.workloads'"),
        ("tokenbench_workloads", "'tokenbench.workloads'"),
        ("tokenbnech.workloads", "'tokenbench.workloads'"),
        ("tokenbench.thermometers", "groups: tokenbench.engines"),
    ],
)
def test_a_misspelt_entry_point_group_is_shown(cli, site: Path, group: str, meant: str) -> None:
    """In the list with what was meant, and where the plugin is asked for."""
    _install(site, "lost", "lost", WORKLOAD, "0.2")
    entries = site / "lost-1.0.dist-info" / "entry_points.txt"
    entries.write_text(entries.read_text().replace("[tokenbench.workloads]", f"[{group}]"))
    (line,) = [x for x in cli("plugins", "list").out.splitlines() if x.startswith("not found")]
    assert f"lost 1.0: the entry-point group {group!r} does not exist" in line
    assert meant in line
    (row,) = [r for r in json.loads(cli("plugins", "list", "--json").out) if r["kind"] is None]
    assert (row["name"], row["state"], row["stage"]) == ("lost", "broken", "group")
    if "meant" not in row["hint"]:
        return
    done = cli("plan", "--engine", "scripted", "--workload", "lost")
    assert done.code == 2
    assert repr(group) in done.complaint[1] and meant in done.complaint[1]


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ("(request, plna)", "has no argument 'plna'", "did you mean 'plan'?"),
        ("(request, weather)", "has no argument 'weather'", "its arguments: request, plan"),
    ],
)
def test_an_unknown_hook_argument_is_named(
    cli, site: Path, arguments: str, message: str, hint: str
) -> None:
    """While the plugin is loaded, with the arguments that there are."""
    hook = f"\n@hookimpl\ndef bench_amend_launch{arguments}:\n    return None\n"
    name = f"curious-{len(arguments)}"  # Python keeps modules by name.
    _install(site, name, name, WORKLOAD + hook, "0.2")
    done = cli("plan", "--engine", "scripted", "--workload", name)
    assert done.code == 3
    assert f"broken (hooks): bench_amend_launch {message}" in done.complaint[0]
    assert hint in done.complaint[1]


def test_a_check_that_hangs_fails(bench, site: Path) -> None:
    """`bench plugins check` ends, and says where the plugin hangs."""
    hangs = WORKLOAD.replace(
        "        while True:\n", "        while True:\n            time.sleep(1)\n"
    )
    _install(site, "slow", "slow", "import time\n" + hangs, "0.2")
    limits = {"TOKENBENCH_PLUGIN_LIMITS_S": "check=0.3", "PYTHONPATH": str(site)}
    done = bench("plugins", "check", "slow", **limits)
    assert done.code == 3, done.err
    assert re.search(r"sessions-end +failed +the plugin did not return within 0.3 s", done.out)


def test_checks_are_cached_until_the_distribution_changes(tmp_path: Path, monkeypatch) -> None:
    """The RECORD file is the key. Editable installations have none, so they are checked again."""
    from tokenbench.plugins import checking, discovery

    site, log = tmp_path / "site", tmp_path / "imports"
    site.mkdir()
    source = f"open({str(log)!r}, 'a').write('imported\\n')\n" + WORKLOAD
    _install(site, "kept", "kept", source, "0.2")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    records = {"tokenbench": "core 1", "kept": "kept 1"}
    monkeypatch.setattr(checking, "_record", records.get)

    def check() -> int:
        (candidate,) = [c for c in discovery.discover() if c.name == "kept"]
        (outcome,) = checking.check_all([candidate]).values()
        assert isinstance(outcome, checking.Loaded)
        return len(log.read_text().splitlines())

    assert [check(), check()] == [1, 1]
    records["kept"] = "kept 2"
    assert check() == 2
    records["tokenbench"] = "core 2"
    assert check() == 3
    del records["kept"]
    assert [check(), check()] == [4, 5]


def test_show_describes_every_plugin(cli) -> None:
    """With its options and their help."""
    rows = json.loads(cli("plugins", "list", "--json").out)
    sound = [row for row in rows if row["name"] not in ("import-error", "no-hook", "misspelt")]
    assert len(sound) > 10
    for row in sound:
        done = cli("plugins", "show", row["name"], "--kind", row["kind"])
        assert done.code == 0, done.err
        assert done.out.startswith(f"# {row['kind']} `{row['name']}`")
    assert "| `base_url` | text | required |" in cli("plugins", "show", "openai").out
    done = cli("plugins", "show", "opnai")
    assert done.complaint == ("error: unknown plugin 'opnai'", "hint: did you mean 'openai'?")


def test_kit_without_pytest(bench, cli) -> None:
    """`bench plugins check` runs levels 0 to 2; a failed check is exit code 3."""
    done = bench("plugins", "check", "openai:base_url=http://127.0.0.1:1,model=m")
    assert done.code == 0, done.out
    passed = r"engine openai of tokenbench-engine-openai: \d{2} ok, 0 failed"
    assert re.search(passed, done.out)
    assert cli("plugins", "check", "openai").code == 2
    done = bench("plugins", "check", "damaged-file")
    assert done.code == 3
    assert re.search(r"0 +metadata-is-complete +failed", done.out), done.out


def test_check_without_the_kit(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Core does not need the kit; the command that does says what to install."""

    class Without(MetaPathFinder):
        def find_spec(self, name: str, *_: Any) -> None:
            if name == "tokenbench_testing":
                raise ModuleNotFoundError(name=name)

    for name in [name for name in sys.modules if name.startswith("tokenbench_testing")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Without(), *sys.meta_path])
    done = cli("plugins", "check", "random")
    assert done.code == 3
    assert done.complaint == (
        "error: the conformance kit is not installed",
        "hint: pip install tokenbench-testing",
    )


@pytest.fixture(scope="module")
def scaffolded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A new package of each kind, created by the command; all are installed in one folder."""
    folder = tmp_path_factory.mktemp("new")
    packages = {}
    for kind in KINDS:
        name = f"my-{kind.name}"
        done = subprocess.run(
            [sys.executable, "-m", "tokenbench.cli.main", "plugins", "new", kind.name, name],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        packages[kind.name] = folder / f"tokenbench-{kind.name}-{name}"
    site = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--no-build-isolation"]
    pip += ["--disable-pip-version-check", "--target", str(site)]
    subprocess.run([*pip, *map(str, packages.values())], check=True)
    return {"packages": packages, "env": {**os.environ, "PYTHONPATH": str(site)}}


@pytest.mark.parametrize("kind", list(BY_NAME))
def test_new_package_passes_the_kit(scaffolded, kind: str) -> None:
    """Its own tests, which are the kit's, pass without a change."""
    package = scaffolded["packages"][kind]
    # Not the settings of this repository.
    alone = ["-c", os.devnull, "--rootdir", str(package), "-p", "no:cacheprovider", "-q"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *alone, str(package / "tests")],
        cwd=package,
        env=scaffolded["env"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d+ passed", done.stdout)


def test_new_packages_show_numbers(bench, scaffolded) -> None:
    """Workload, eval and reporter of `bench plugins new` in one run show a rate and a score."""
    path = os.pathsep.join((scaffolded["env"]["PYTHONPATH"], str(SITE)))
    done = bench(
        *("run", "--engine", "scripted:codec=openai-chat", "--workload", "my-workload"),
        *(
            "--eval",
            "my-eval",
            "--no-canaries",
            "--reporter",
            "my-reporter",
            "--requests",
            "20",
            "--repeats",
            "1",
        ),
        *("--use", "my-observer", "--use", "my-amendment", "--allow-invalid"),
        PYTHONPATH=path,
    )
    assert done.code == 0, done.err
    (report,) = bench.run_directory.glob("reports/my-reporter.txt")
    point, score = report.read_text().splitlines()
    assert re.search(r"c1 \w+: [1-9][\d.]* tok/s", point), point
    assert re.fullmatch(r"my-eval: exact_number 0\.\d+ of 3 questions", score), score
    assert (bench.run_directory / "my-observer.txt").exists()


def test_ruff_accepts_new_packages(scaffolded) -> None:
    """With its default rules."""
    packages = map(str, scaffolded["packages"].values())
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--line-length", "110"]
    done = subprocess.run([*ruff, *packages], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_new_package_with_invalid_arguments(cli) -> None:
    """Unknown kind, invalid name, existing folder."""
    assert cli("plugins", "new", "motor", "x").complaint[0] == "error: unknown plugin kind 'motor'"
    assert cli("plugins", "new", "engine", "My Engine").code == 2
    assert cli("plugins", "new", "engine", "x").code == 0
    again = cli("plugins", "new", "engine", "x")
    assert (again.code, "already exists" in again.complaint[0]) == (2, True)


def test_trace_shows_every_call_of_a_plugin(bench) -> None:
    """TOKENBENCH_TRACE=1."""
    done = bench("plan", "--engine", "scripted", TOKENBENCH_TRACE="1", TOKENBENCH_TEST_AMEND="1")
    assert "trace: tokenbench_test_plugins bench_register_engines() -> [EngineSpec" in done.err
    assert "trace: tokenbench_test_plugins bench_amend_launch(request=AmendRequest" in done.err


def test_unmet_requirements_of_a_suite(cli, tmp_path: Path) -> None:
    """Exit code 3; the error names what is missing, the hint the command that installs it."""
    (tmp_path / "s.yaml").write_text(
        "requires: [tokenbench-engine-none>=2, 'tokenbench>=0.1']\n"
        "deployments:\n  - engine: scripted\n"
    )
    done = cli("plan", "s.yaml")
    assert done.code == 3
    assert done.complaint == (
        "error: the suite's requirements are not met: tokenbench-engine-none is not installed",
        "hint: pip install 'tokenbench-engine-none>=2'",
    )
