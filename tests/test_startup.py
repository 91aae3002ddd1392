"""Start-up is a feature: nothing heavy is imported before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Engines and their frameworks, drivers, data libraries, display: none for `--help`.
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
def test_the_command_line_starts_light(code: str) -> None:
    """Importing the CLI, and showing its help, loads none of the heavy libraries."""
    assert not HEAVY & _modules(code)


def test_the_package_itself_imports_nothing() -> None:
    """`import tokenbench` is for its version."""
    before = _modules("pass")
    assert _modules("import tokenbench") - before <= {"tokenbench", "__future__"}


def test_listing_plugins_imports_none_of_them() -> None:
    """Names and versions come from metadata."""
    code = (
        "from click.testing import CliRunner; from tokenbench.cli.main import cli\n"
        "assert CliRunner().invoke(cli, ['plugins']).exit_code == 0"
    )
    assert not [name for name in _modules(code) if name.startswith("tokenbench_")]


@pytest.mark.parametrize(
    "kind", ["engines", "hardware", "models", "workloads", "evals", "reporters"]
)
def test_registering_a_plugin_loads_no_driver(kind: str) -> None:
    """A hook module names its things; libraries and drivers come when something is used."""
    code = (
        "import importlib, importlib.metadata as m\n"
        f"for e in m.entry_points(group='tokenbench.{kind}'):\n"
        "    module = importlib.import_module(e.value)\n"
        f"    getattr(module, 'bench_register_{kind}')()"
    )
    used_by_core = {"asyncio", "pluggy"}
    assert not (HEAVY - used_by_core) & _modules(code)
