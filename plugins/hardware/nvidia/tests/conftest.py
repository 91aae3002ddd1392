"""The node program as a host gets it: its files and pynvml in a folder, with a Python that has
nothing else, and a compiled stub of the driver's library.
"""

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
import tokenbench_hardware_nvidia

# argv: folder, options, devices ("all": those of the probe), seconds before the first reading and
# between it and the second, and a file to create between them.
HOST = """
import ctypes, json, pathlib, sys, time
folder, options, devices, wait_s, pause_s, flag = sys.argv[1:]
sys.path.insert(0, folder)
import node
options = json.loads(options)
probe = node.probe(options)
found = {"python": sys.version_info[:2], "probe": probe, "readings": []}
devices = [d["index"] for d in probe["devices"]] if devices == "all" else json.loads(devices)
sampler = node.sampler(options, devices)
found["sampler"] = sampler is not None
if sampler is not None:
    time.sleep(float(wait_s))
    for turn in range(2):
        before = time.monotonic()
        samples = sampler.sample()
        found["readings"].append([before, time.monotonic(), samples])
        if turn == 0:
            time.sleep(float(pause_s))
            if flag:
                pathlib.Path(flag).touch()
    sampler.close()
    sampler.close()
    import pynvml
    for name in ("energy_calls", "pid_calls", "shutdowns"):
        found[name] = ctypes.c_int.in_dll(pynvml.nvmlLib, "stub_" + name).value
assert not [name for name in sys.modules if name.split(".")[0] in ("tokenbench", "attr", "attrs")]
print(json.dumps(found))
"""

Ask = Callable[..., dict[str, Any]]


def compiled(folder: Path, *flags: str) -> Path:
    """The folder with the stub as the driver's library."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler here")
    source = Path(__file__).with_name("nvml_stub.c")
    library = folder / "libnvidia-ml.so.1"
    command = [compiler, *flags, "-Wall", "-shared", "-fPIC", "-o", str(library), str(source)]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture(scope="session")
def driver(tmp_path_factory) -> Path:
    """The folder with the compiled stub."""
    return compiled(tmp_path_factory.mktemp("nvml"))


@pytest.fixture(scope="session")
def old_driver(tmp_path_factory) -> Path:
    """The stub without newer functions."""
    return compiled(tmp_path_factory.mktemp("oldnvml"), "-DOLD_DRIVER")


@pytest.fixture(scope="session")
def program(tmp_path_factory) -> Path:
    """The folder with the files that a host gets."""
    binding = importlib.util.find_spec("pynvml")
    if binding is None or binding.origin is None:
        pytest.skip("nvidia-ml-py is not installed")
    folder = tmp_path_factory.mktemp("program")
    source = Path(tokenbench_hardware_nvidia.__file__).parent / "node"
    shutil.copytree(source, folder / "node", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(binding.origin, folder)
    return folder


@pytest.fixture(scope="session")
def oldest_python() -> str:
    """A Python 3.8 beside the one that runs the tests, as pyenv keeps them."""
    versions = Path(sys.base_prefix).parent
    found = next(versions.glob("3.8.*/bin/python"), None)
    if found is None:
        pytest.skip("no Python 3.8 here")
    return str(found)


@pytest.fixture
def ask(driver: Path, program: Path) -> Ask:
    """Probe and two readings with the stub, as dict. Keywords are environment variables."""

    def run(
        *,
        library: Path = driver,
        folder: Path = program,
        python: str = sys.executable,
        options: dict[str, Any] | None = None,
        devices: list[int] | None = None,
        wait_s: float = 0.0,
        pause_s: float = 0.0,
        flag: Path | None = None,
        **environment: str,
    ) -> dict[str, Any]:
        command = [python, "-I", "-S", "-c", HOST, str(folder), json.dumps(options or {})]
        command += ["all" if devices is None else json.dumps(devices), str(wait_s), str(pause_s)]
        env = {**os.environ, "LD_LIBRARY_PATH": str(library), **environment}
        done = subprocess.run(
            [*command, str(flag or "")], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return run
