"""Builds ``_native.c`` into the package where that can be done.

On Linux, where a C compiler and Python's headers are found. Elsewhere the package is complete
without it: see ``tokenbench/load/native.py``.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_SOURCE = Path("src/tokenbench/load/_native.c")
_MADE = _SOURCE.with_name("_native.abi3.so")


class NativeHook(BuildHookInterface):  # type: ignore[misc]
    """The wheel's hook; the compiled module serves every Python from 3.11 on."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build; on failure say why, and go on without."""
        source, made = Path(self.root, _SOURCE), Path(self.root, _MADE)
        fresh = made.with_name(f".{made.name}")
        why = _compile(source, fresh)
        if why:
            made.unlink(missing_ok=True)
            self.app.display_warning(f"without the compiled part: {why}")
            return
        fresh.replace(made)  # At once: something may be starting from this folder.
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["tag"] = f"cp311-abi3-{platform}"
        build_data["pure_python"] = False
        build_data["artifacts"].append(_MADE.as_posix())


def _compile(source: Path, made: Path) -> str:
    """Compile it; empty, or why it could not be done."""
    if sys.platform != "linux":
        return f"it is for Linux, this is {sys.platform}"
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "it is for a Python with a GIL"
    names = (os.environ.get("CC") or "", "cc", "gcc", "clang")
    compiler = next(filter(None, map(shutil.which, filter(None, names))), None)
    if compiler is None:
        return "there is no C compiler"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    options = ["-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Wno-unused-parameter"]
    options += ["-Wno-cast-function-type", f'-DSOURCE="{digest}"']
    include = sysconfig.get_path("include")
    done = subprocess.run(
        [compiler, *options, f"-I{include}", str(source), "-o", str(made)],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stderr.strip() or f"{compiler} failed"
