"""The real amdsmi with a compiled stub of its library."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenbench_hardware_amd

PLUGIN = Path(tokenbench_hardware_amd.__file__).parent
# Readings 0.15 s apart, of a program loaded as on a host: without the plugin, without tokenbench.
# Before the second, argv[3] is created; before the third, it is removed.
PROGRAM = """
import ctypes, json, pathlib, sys, time
sys.path.insert(0, sys.argv[1])
import node

devices = json.loads(sys.argv[2])
flag = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else None
found = {"probe": node.probe({}), "readings": []}
sampler = node.sampler({}, devices)
if sampler is not None:
    for turn in range(3):
        before = time.monotonic()
        rows = sampler.sample()
        found["readings"].append([before, time.monotonic(), rows])
        time.sleep(0.15)
        if flag is not None:
            flag.touch() if turn == 0 else flag.unlink() if turn == 1 else None
    sampler.close()
    sampler.close()
    library = sys.modules["amdsmi.amdsmi_wrapper"]._libraries["libamd_smi.so"]
    for name in ("stub_shutdowns", "stub_violation_queries"):
        found[name] = ctypes.c_int.in_dll(library, name).value
assert not {name.split(".")[0] for name in sys.modules} & {"tokenbench", "attrs", "attr"}
print(json.dumps(found))
"""


@pytest.fixture(scope="session")
def compiler() -> str:
    """A C compiler; skips without one."""
    found = shutil.which("cc") or shutil.which("gcc")
    return found or pytest.skip("no C compiler here")


@pytest.fixture(scope="session")
def binding() -> Path:
    """The folder of the installed package amdsmi; skips without it. It cannot be imported here."""
    spec = importlib.util.find_spec("amdsmi")
    if spec is None or spec.origin is None:
        pytest.skip("amdsmi is not installed: pip install amdsmi==7.0.2")
    return Path(spec.origin).parent


@pytest.fixture(scope="session")
def rocm(tmp_path_factory, compiler, binding) -> Path:
    """A folder like ROCm's, with the stub; amdsmi comes from this environment."""
    root: Path = tmp_path_factory.mktemp("rocm")
    (root / "lib").mkdir()
    source = Path(__file__).with_name("amdsmi_stub.c")
    library = root / "lib" / "libamd_smi.so"
    command = [compiler, "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", library, source]
    subprocess.run(command, check=True)
    return root


def _run(*args: str, python: str = sys.executable, program: str = PROGRAM, **more: str) -> Any:
    env = {k: v for k, v in os.environ.items() if k not in ("ROCM_PATH", "ROCM_HOME")}
    command = [python, "-c", program, str(PLUGIN), *args]
    done = subprocess.run(
        command, env={**env, **more}, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def run() -> Callable[..., Any]:
    """Run a program on a host with variables; its only output is one JSON value."""
    return _run


@pytest.fixture
def ask(rocm) -> Callable[..., Any]:
    """Probe and sample with the stub. Keyword arguments are its variables, without AMD_STUB_."""

    def ask(
        *, devices: tuple[int, ...] = tuple(range(8)), flag: Path | None = None, **stub: str
    ) -> Any:
        args = (json.dumps(devices), *([str(flag)] if flag else []))
        more = {f"AMD_STUB_{name.upper()}": value for name, value in stub.items()}
        return _run(*args, ROCM_PATH=str(rocm), **more)

    return ask
