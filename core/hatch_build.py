"""Builds ``_native.c`` into the package where that can be done.

On Linux, where a C compiler and Python's headers are found. Elsewhere, and whatever goes wrong, the
package is complete without it: see ``tokenbench/load/native.py``, which also leaves one alone that
was made of another source.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zlib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import platform_tags

_SOURCE = Path("src/tokenbench/load/_native.c")
_MADE = _SOURCE.with_name("_native.abi3.so")
_LIMIT_S = 120.0


class NativeHook(BuildHookInterface):  # type: ignore[misc]
    """The wheel's hook; the compiled module serves every Python from 3.11 on."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build; on failure say why, and go on without."""
        try:
            _build(Path(self.root, _SOURCE), Path(self.root, _MADE))
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            self.app.display_warning(f"without the compiled part: {error}")
            return
        # For this system, whatever its C library: what may be published elsewhere says auditwheel.
        platform = next(tag for tag in platform_tags() if tag.startswith("linux_"))
        build_data["tag"] = f"cp311-abi3-{platform}"
        build_data["pure_python"] = False
        build_data["artifacts"].append(_MADE.as_posix())


def _build(source: Path, made: Path) -> None:
    """Compile it, and try it.

    Raises:
        RuntimeError: this is no place for it.
        OSError, subprocess.SubprocessError: what could not be done.
    """
    if sys.platform != "linux" or sys.implementation.name != "cpython":
        raise RuntimeError(f"it is for CPython on Linux, this is {sys.platform}")
    if sysconfig.get_config_var("Py_GIL_DISABLED") or "_PYTHON_HOST_PLATFORM" in os.environ:
        raise RuntimeError("it is for a Python with a GIL, on the machine that builds it")
    digest = zlib.crc32(source.read_bytes())
    options = ["-O2", "-shared", "-fPIC", f"-DSOURCE={digest}L"]
    options += ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Wno-cast-function-type"]
    with tempfile.TemporaryDirectory(dir=made.parent) as folder:
        fresh = Path(folder, made.name)
        include = f"-I{sysconfig.get_path('include')}"
        _run(*_compiler(), *options, include, str(source), "-o", str(fresh))
        code = f"import _native; assert _native.SOURCE == {digest}"
        _run(sys.executable, "-c", f"import sys; sys.path[:] = [{folder!r}]; {code}")
        fresh.replace(made)  # At once: something may be starting from this folder.


def _compiler() -> list[str]:
    """``$CC``, with its options, else the first that is found."""
    asked = shlex.split(os.environ.get("CC", ""))
    if asked:
        return asked
    found = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if found is None:
        raise RuntimeError("there is no C compiler")
    return [found]


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, check=False, timeout=_LIMIT_S)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise RuntimeError(said or f"{command[0]} ended with {done.returncode}")
