"""Start-up is fast: large libraries are imported only where they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Engines, frameworks, drivers, data and display libraries.
HEAVY = frozenset(
    [
        "torch",
        "lm_eval",
        "pyarrow",
        "numpy",
        "pandas",
        "transformers",
        "datasets",
        "xllamacpp",
        "vllm",
        "pynvml",
        "amdsmi",
        "httpx",
        "rich",
        "yaml",
        "cattrs",
        "tokenizers",
        "asyncio",
        "uvloop",
        "httptools",
        "pluggy",
    ]
)


HELP = (
    "from click.testing import CliRunner; from tokenbench.cli.main import cli\n"
    "assert CliRunner().invoke(cli, ['--help']).exit_code == 0"
)


def _modules(code: str) -> set[str]:
    shown = f"{code}\nimport sys; print(*{{m.partition('.')[0] for m in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import tokenbench",
        "import tokenbench.cli.main",
        HELP,
    ],
)
def test_help_imports_no_large_library(code: str) -> None:
    """Nor does importing the CLI."""
    assert not HEAVY & _modules(code)


def test_package_imports_nothing() -> None:
    """`import tokenbench` provides the version only."""
    before = _modules("pass")
    assert _modules("import tokenbench") - before <= {"tokenbench", "__future__"}


def test_list_imports_no_plugin() -> None:
    """Names and versions are read from metadata."""
    code = (
        "from click.testing import CliRunner; from tokenbench.cli.main import cli\n"
        "assert CliRunner().invoke(cli, ['plugins']).exit_code == 0"
    )
    assert not [name for name in _modules(code) if name.startswith("tokenbench_")]


@pytest.mark.parametrize(
    "kind", ["engines", "hardware", "models", "workloads", "evals", "reporters"]
)
def test_registration_imports_no_driver(kind: str) -> None:
    """Hook modules import libraries and drivers only where they are used."""
    code = (
        "import importlib, importlib.metadata as m\n"
        f"for e in m.entry_points(group='tokenbench.{kind}'):\n"
        "    module = importlib.import_module(e.value)\n"
        f"    getattr(module, 'bench_register_{kind}')()"
    )
    modules = _modules(code)
    assert any(name.startswith("tokenbench_") for name in modules)
    used_by_core = {"asyncio", "pluggy"}
    assert not (HEAVY - used_by_core) & modules


def test_a_run_imports_what_it_uses(bench) -> None:
    """pyarrow imports pandas for lists, 0.5 s, where some other package has brought it."""
    asked = ("--engine", "scripted", "--hardware", "cpu", "--requests", "4", "--allow-invalid")
    done = bench("run", *asked, PYTHONPROFILEIMPORTTIME="1")
    assert done.code == 0, done.err
    imported = {
        line.rpartition("|")[2].strip().partition(".")[0]
        for line in done.err.splitlines()
        if line.startswith("import time:")
    }
    assert "pyarrow" in imported
    assert not imported & {"pandas", "torch", "lm_eval", "transformers", "datasets"}
