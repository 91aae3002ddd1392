"""`bench plugins` as a user and as an author sees it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tokenbench.plugins.kinds import BY_NAME, KINDS

WORKLOAD = """
from tokenbench.api import SingleTurn, TextPrompt, Turn, Workload, WorkloadSpec, hookimpl

class Same(Workload):
    def sessions(self, context, seed):
        while True:
            yield SingleTurn(Turn(prompt=TextPrompt("a b c"), max_tokens=4))

@hookimpl
def bench_register_workloads():
    return [WorkloadSpec(name="{name}", summary="s", factory=lambda options: Same())]
"""
BROKEN = {
    "absent": ("import nothing_like_that", "0.1", "import: ModuleNotFoundError"),
    "future": (WORKLOAD, "9.0", "api: it requires API 9.0"),
    "misspelt": (
        WORKLOAD + "\n@hookimpl\ndef bench_registr_workloads():\n    return []\n",
        "0.1",
        "hooks: unknown hook 'bench_registr_workloads'",
    ),
    "twin": (WORKLOAD, "0.1", "duplicate: 'twin' is also registered by third-0"),
    "wrong": (
        WORKLOAD.replace("[WorkloadSpec(name", "['w', WorkloadSpec(name"),
        "0.1",
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
def thirty(tmp_path: Path) -> dict[str, str]:
    """30 third-party plugins, five of them broken, each in its own way; the environment."""
    site = tmp_path / "site"
    site.mkdir()
    for number in range(25):
        name = "twin" if number == 0 else f"third-{number}"
        _install(site, f"third-{number}", name, WORKLOAD, "0.1")
    for name, (source, api, _) in BROKEN.items():
        _install(site, f"broken-{name}", name, source, api)
    ours = Path(__file__).parent / "site"
    return {"PYTHONPATH": os.pathsep.join([str(site), str(ours)])}


def test_a_list_of_thirty_is_complete_whatever_is_broken(bench, thirty) -> None:
    """From metadata alone: every row, nothing imported, exit 0."""
    done = bench("plugins", "list", "--json", **thirty)
    assert done.code == 0, done.err
    rows = {(row["distribution"], row["name"]): row for row in json.loads(done.out)}
    assert len([dist for dist, _ in rows if dist.startswith(("third-", "broken-"))]) == 30
    assert rows["broken-future", "future"]["api"] == "9.0"
    table = bench("plugins", "list", **thirty).out.splitlines()
    assert table[0].split() == ["KIND", "NAME", "DISTRIBUTION", "VERSION", "API"]
    assert len(table) == len(rows) + 1


def test_a_check_names_each_breakage(bench, thirty) -> None:
    """Each at its stage; the sound ones say ok and what they can do."""
    done = bench("plugins", "list", "--check", "--json", **thirty)
    assert done.code == 0, done.err
    rows = json.loads(done.out)
    states = {row["distribution"]: row for row in rows}
    for name, (_, _, said) in BROKEN.items():
        row = states[f"broken-{name}"]
        assert row["state"] == "broken"
        assert f"{row['stage']}: {row['message']}".startswith(said), row
        assert row["hint"]
    good = [f"third-{n}" for n in range(1, 25)]
    assert {states[dist]["state"] for dist in good} == {"ok"}
    assert states["tokenbench-workload-random"]["capabilities"] == {"exact_lengths": True}
    table = bench("plugins", "list", "--check", **thirty, TOKENBENCH_PLUGINS="absent").out
    assert re.search(r"broken-absent .*import: ModuleNotFoundError", table)


def test_a_run_with_working_plugins_is_untouched(bench, thirty) -> None:
    """Broken ones beside it change nothing; naming one is exit code 3."""
    run = ("run", "--engine", "scripted", "--workload", "third-1", "--requests", "4")
    done = bench(*run, **thirty)
    assert done.code in (0, 6), done.err
    assert "Traceback" not in done.err
    done = bench("plan", "--engine", "scripted", "--workload", "absent", **thirty)
    assert done.code == 3
    assert "is broken (import)" in done.complaint[0]
    done = bench("plan", "--engine", "scripted", "--workload", "twin", **thirty)
    assert "the workload 'twin' is registered by several distributions" in done.complaint[0]
    done = bench("plan", "--engine", "scripted", "--workload", "third-0/twin", **thirty)
    assert done.code == 0, done.err
    done = bench("--no-plugin", "third-1", "plan", "--workload", "third-1", **thirty)
    assert done.code == 2


def test_sound_outcomes_are_kept_until_the_distribution_changes(
    tmp_path: Path, monkeypatch
) -> None:
    """The distribution's record is the key; a development install has none, and is asked anew."""
    from tokenbench.plugins import checking, discovery

    site, log = tmp_path / "site", tmp_path / "imports"
    site.mkdir()
    source = f"open({str(log)!r}, 'a').write('imported\\n')\n" + WORKLOAD
    _install(site, "kept", "kept", source, "0.1")
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


def test_a_page_of_every_plugin(bench) -> None:
    """What `bench plugins show` says comes from the spec: each option with its help."""
    rows = json.loads(bench("plugins", "list", "--json").out)
    for row in rows:
        if row["name"] in ("import-error", "no-hook", "misspelt"):
            continue
        done = bench("plugins", "show", row["name"], "--kind", row["kind"])
        assert done.code == 0, done.err
        assert done.out.startswith(f"# {row['kind']} `{row['name']}`")
    assert "| `base_url` | text | required |" in bench("plugins", "show", "openai").out
    done = bench("plugins", "show", "opnai")
    assert done.complaint == ("error: unknown plugin 'opnai'", "hint: did you mean 'openai'?")


def test_a_check_without_pytest(bench) -> None:
    """The kit's levels 0 to 2 on an installed plugin; exit 3 where one refuses."""
    done = bench("plugins", "check", "random")
    assert done.code == 0, done.out
    assert re.search(r"workload random of tokenbench-workload-random: \d+ ok, 0 failed", done.out)
    done = bench("plugins", "check", "openai:base_url=http://127.0.0.1:1,model=m")
    assert done.code == 0, done.out
    done = bench("plugins", "check", "openai")
    assert done.code == 2
    done = bench("plugins", "check", "damaged-file")
    assert done.code == 3
    assert re.search(r"0 +metadata-is-complete +failed", done.out), done.out


@pytest.fixture(scope="module")
def scaffolded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A new package of each kind, written by the command and installed beside each other."""
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
def test_a_new_package_installs_and_passes_the_kit(scaffolded, kind: str) -> None:
    """As it stands: its own tests pass, levels 0 to 2 refuse nothing, ruff finds nothing."""
    package = scaffolded["packages"][kind]
    # Their own home: the settings of this repository must not reach them.
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
    done = subprocess.run(
        [sys.executable, "-m", "tokenbench.cli.main", "plugins", "check", f"my-{kind}"],
        cwd=package,
        env=scaffolded["env"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--line-length", "110"]
    done = subprocess.run([*ruff, str(package)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_new_package_is_refused_where_it_makes_no_sense(bench) -> None:
    """No such kind, no name, a folder that is there."""
    assert (
        bench("plugins", "new", "motor", "x").complaint[0] == "error: unknown plugin kind 'motor'"
    )
    assert bench("plugins", "new", "engine", "My Engine").code == 2
    assert bench("plugins", "new", "engine", "x").code == 0
    again = bench("plugins", "new", "engine", "x")
    assert (again.code, "already exists" in again.complaint[0]) == (2, True)


def test_every_call_into_a_plugin_is_traced(bench) -> None:
    """TOKENBENCH_TRACE=1."""
    done = bench("plan", "--engine", "scripted", TOKENBENCH_TRACE="1", TOKENBENCH_TEST_AMEND="1")
    assert "trace: tokenbench_test_plugins bench_register_engines() -> [EngineSpec" in done.err
    assert "trace: tokenbench_test_plugins bench_amend_launch(request=AmendRequest" in done.err


def test_requirements_of_a_suite_are_kept(bench) -> None:
    """Exit code 3 with all that is missing; nothing is started."""
    (bench.folder / "s.yaml").write_text(
        "requires: [tokenbench-engine-none>=2, 'tokenbench>=0.1']\n"
        "deployments:\n  - engine: scripted\n"
    )
    done = bench("plan", "s.yaml")
    assert done.code == 3
    assert done.complaint == (
        "error: the suite's requirements are not met: tokenbench-engine-none is not installed",
        "hint: pip install 'tokenbench-engine-none>=2'",
    )
