"""Rules for every distribution of the repository, found by glob."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
PLUGINS = sorted(p.parent for p in ROOT.glob("plugins/*/*/pyproject.toml"))
KIT = ROOT / "testing"
OURS = [ROOT / "core", KIT, *PLUGINS]
SINGULAR = {"hardware": "hardware"}
WORDS = {
    "agentic",
    "conversations",
    "embeddings",
    "mixture",
    "prefix",
    "trace",
    "random",
    "cpu",
    "console",
    "files",
    "openai",
    "hf",
    "html",
    "llama",
    "markdown",
}
"""Names of plugins that have another meaning, too."""
KIT_USER = ROOT / "core/src/tokenbench/cli/plugins.py"
"""The file of core that imports the kit, for `bench plugins check`, if it is installed."""
FILE_LINES, FUNCTION_LINES, HOOK_MODULE_LINES = 400, 60, 110
# It is sent to hosts as one file.
LONGER = {
    ROOT / "core/src/tokenbench/launch/node/agent.py": 780,  # Sent to hosts as one file.
    ROOT / "core/src/tokenbench/api/__init__.py": 500,  # A list of names.
}


ENGINE_LINES = 400
"""Of an engine plugin's functions, without docstrings and comments: what is not data."""


@cache
def _project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text())


def _kind(folder: Path) -> str:
    plural = folder.parent.name
    return SINGULAR.get(plural, plural.removesuffix("s"))


def _sources() -> list[Path]:
    return [file for folder in OURS for file in sorted((folder / "src").rglob("*.py"))]


def _tracked() -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_glob_finds_plugins() -> None:
    """If the glob found nothing, every test below would pass."""
    kinds = {folder.parent.name for folder in PLUGINS}
    assert kinds >= {"engines", "hardware", "models", "workloads", "evals", "reporters"}


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda f: f.name)
def test_folder_distribution_and_module_names_derive_from_each_other(folder: Path) -> None:
    """plugins/engines/vllm, tokenbench-engine-vllm, tokenbench_engine_vllm."""
    project = _project(folder)["project"]
    kind, name = _kind(folder), folder.name
    module = f"tokenbench_{kind}_{name.replace('-', '_')}"
    assert project["name"] == f"tokenbench-{kind}-{name}"
    assert (folder / "src" / module / "py.typed").is_file()
    found = project["entry-points"][f"tokenbench.{folder.parent.name}"]
    # A family of models has a name for each model and none for itself.
    assert name in found or kind == "model"
    assert set(found.values()) == {f"{module}.plugin"}


@pytest.mark.parametrize("folder", OURS, ids=lambda f: f.name)
def test_metadata(folder: Path) -> None:
    """Version, licence and oldest Python are those of core; there is a README, and tests."""
    project = _project(folder)["project"]
    core = _project(ROOT / "core")["project"]
    for key in ("version", "license", "requires-python"):
        assert project[key] == core[key], key
    assert (folder / project["readme"]).read_text().strip()
    assert list((folder / "tests").glob("**/test_*.py")), "no tests beside it"
    for need in project["dependencies"]:
        if need.startswith("tokenbench"):
            assert need.endswith(f"=={core['version']}"), need


def test_no_tracked_file_names_a_registry_or_this_machine() -> None:
    """No download address, no registry host, no absolute path of a developer's machine."""
    hosts = ("pypi" + ".org", "python" + "hosted.org", "registry." + "npmjs", "deb.debian" + ".org")
    paths = ("/wo" + "rk/main", "/ro" + "ot/", "/ho" + "me/")
    bad = []
    for file in _tracked():
        text = file.read_bytes().decode(errors="ignore")
        bad += [f"{file}: {word}" for word in (*hosts, *paths) if word in text]
    assert not bad
    names = {file.name for file in _tracked()}
    assert not names & {"uv.lock", "poetry.lock", "package-lock.json", "Pipfile.lock"}


def test_requirements_are_pinned_with_hashes_and_without_addresses() -> None:
    """Every line is a pinned package or a hash; dev.txt has the pins of run.txt."""
    pins = {}
    for name in ("build", "run", "dev", "browser"):
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        assert "://" not in text
        assert not re.findall(r"^\s*-(?!-hash)", text, re.MULTILINE)
        entries = re.findall(r"^([a-z0-9-]+==\S+)(?: ; .*?)? \\\n", text, re.MULTILINE)
        assert len(entries) == text.count("==") - text.count("== '"), name
        pins[name] = set(entries)
    assert pins["run"] <= pins["dev"]


def test_core_names_no_plugin() -> None:
    """Core depends on capabilities, not on names: no string of its code is a plugin's name."""
    names = {folder.name for folder in PLUGINS} - WORDS
    found = []
    for file in (ROOT / "core" / "src").rglob("*.py"):
        if file.parent.name == "imports" or file.name == "import_.py":
            continue  # Names of other tools and what their files say: some are those of plugins.
        tree = ast.parse(file.read_text())
        docs = {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words = set(re.findall(r"[A-Za-z0-9]+", node.value))
                if id(node) not in docs and words & names:
                    found.append(f"{file.name}:{node.lineno}: {node.value!r}")
    assert not found


@pytest.mark.parametrize("file", _sources(), ids=lambda f: f"{f.parent.name}/{f.name}")
def test_files_and_functions_are_short(file: Path) -> None:
    """Split by responsibility before the limit is reached."""
    text = file.read_text()
    assert len(text.splitlines()) <= LONGER.get(file, FILE_LINES)
    if file.name == "plugin.py":
        assert len(text.splitlines()) <= HOOK_MODULE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= FUNCTION_LINES, f"{node.name}: {length} lines"


def _tests() -> list[Path]:
    return [f for f in _tracked() if f.name.startswith("test_") and f.suffix == ".py"]


@pytest.mark.parametrize(
    "folder", sorted((ROOT / "plugins/engines").iterdir()), ids=lambda p: p.name
)
def test_engine_plugins_are_short(folder: Path) -> None:
    """Options, flags, capabilities, messages and what counters are called are data, not code."""
    lines = {str(file): _code_lines(file) for file in folder.glob("src/**/*.py")}
    assert 0 < sum(lines.values()) <= ENGINE_LINES, lines


def _code_lines(file: Path) -> int:
    """Lines of functions, without docstrings, comments and blank lines."""
    text = file.read_text(encoding="utf-8")
    functions = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    within = {n for one in functions for n in range(one.lineno, _end(one) + 1)}
    within -= {
        n
        for one in functions
        if ast.get_docstring(one) is not None
        for n in range(one.body[0].lineno, _end(one.body[0]) + 1)
    }
    code = (text.splitlines()[number - 1].strip() for number in within)
    return sum(1 for line in code if line and not line.startswith("#"))


def _end(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


@pytest.mark.parametrize("file", _tests(), ids=lambda f: f.name)
def test_every_test_has_a_docstring(file: Path) -> None:
    """It says what the test shows."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            assert ast.get_docstring(node), node.name


def test_import_rules() -> None:
    """What the source and the tests of each distribution import of ours: see `_allowed`."""
    found = []
    for folder in OURS:
        for part in ("src", "tests"):
            modules, packages = _allowed(folder, part)
            for file in (folder / part).rglob("*.py"):
                kit = {"tokenbench_testing"} if file == KIT_USER else set()
                for name in _imports(file):
                    top, _, inside = name.partition(".")
                    package = inside.partition(".")[0]
                    if top.startswith("tokenbench_") and top not in modules | kit:
                        found.append(f"{file}: {name}")
                    if top == "tokenbench" and packages is not None and package not in packages:
                        found.append(f"{file}: {name}")
    assert not found


def _allowed(folder: Path, part: str) -> tuple[set[str], set[str] | None]:
    """Modules besides core's, and packages of core (None: all).

    Core imports no plugin, and the kit in its tests and in one command. The kit imports
    `tokenbench.api` and `tokenbench.harness`, a plugin `tokenbench.api` and no other plugin; the
    plugin's tests import the kit as well. ``[tool.tokenbench] may-import`` in its pyproject adds
    other modules.
    """
    kit = {"tokenbench_testing"}
    if folder == KIT:
        return kit, {"api", "harness"} if part == "src" else None
    if folder not in PLUGINS:
        return kit if part == "tests" else set(), None
    settings = _project(folder).get("tool", {}).get("tokenbench", {})
    own = f"tokenbench_{_kind(folder)}_{folder.name.replace('-', '_')}"
    modules = {own, *settings.get("may-import", [])}
    return modules | kit if part == "tests" else modules, {"api"}


def _imports(file: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.append(node.module)
            if node.module == "tokenbench":
                names += [f"tokenbench.{alias.name}" for alias in node.names]
    return names


def test_layers_of_core_and_kit() -> None:
    """import-linter: each package of core imports only those below it, and so does the kit."""
    done = subprocess.run(
        ["lint-imports", "--config", "pyproject.toml", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": _venv_path(), "PYTHONPATH": f"{ROOT}/core/src{os.pathsep}{KIT}/src"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _venv_path() -> str:
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
