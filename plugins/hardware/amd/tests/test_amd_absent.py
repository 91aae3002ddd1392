"""Hosts without amdsmi, or with one that cannot be imported."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PYTHONS = ("this", "3.8")


def test_without_a_library(binding, run) -> None:
    """The real amdsmi prints and fails with KeyError: a reason, a hint, nothing printed."""
    found = run("[0]")
    assert "libamd_smi.so" in found["probe"]["reason"]
    assert "amd-smi-lib" in found["probe"]["hint"]
    assert found["readings"] == []


@pytest.mark.parametrize("version", PYTHONS)
def test_without_amdsmi(run, version: str) -> None:
    """A reason and a hint that names the package."""
    found = run("[0]", python=_bare_python(version))
    assert found["probe"]["reason"].endswith("is not installed on this host")
    assert "amd-smi-lib" in found["probe"]["hint"]
    assert found["readings"] == []


@pytest.mark.parametrize("version", PYTHONS)
def test_an_amdsmi_in_the_folder_of_rocm(rocm, binding, run, tmp_path: Path, version: str) -> None:
    """It is found there, even if the one that Python finds by itself is broken."""
    shutil.copytree(rocm / "lib", tmp_path / "rocm" / "lib")
    shutil.copytree(binding, tmp_path / "rocm" / "share" / "amd_smi" / "amdsmi")
    broken = tmp_path / "broken" / "amdsmi"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("print('noise')\nraise KeyError('libamd_smi.so')\n")
    python, more = _bare_python(version), {"PYTHONPATH": str(broken.parent)}
    found = run("[0]", python=python, ROCM_PATH=str(tmp_path / "rocm"), **more)
    assert len(found["probe"]["devices"]) == 8
    assert found["readings"][0][2][0]["power_w"] == 750
    only_broken = run("[0]", python=python, **more)
    assert only_broken["probe"]["reason"].endswith("(amdsmi: noise)")


def test_a_library_that_lacks_symbols(binding, compiler, run, tmp_path: Path) -> None:
    """A library of another version: a reason, no exception."""
    (tmp_path / "lib").mkdir()
    source = tmp_path / "empty.c"
    source.write_text("int nothing;\n")
    library = tmp_path / "lib" / "libamd_smi.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    found = run("[0]", ROCM_PATH=str(tmp_path))
    assert "cannot be imported" in found["probe"]["reason"]


def _bare_python(version: str) -> str:
    """A Python without packages: the base of this environment, or another of the same origin."""
    base = Path(sys.base_prefix)
    if version == "this":
        return str(base / "bin" / f"python3.{sys.version_info.minor}")
    found = next(base.parent.glob(f"{version}.*/bin/python{version}"), None)
    return str(found or pytest.skip(f"no Python {version} beside this one"))
