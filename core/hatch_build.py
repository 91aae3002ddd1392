"""Compiles the request path where that can be done: ``_native.c`` and what ``built.py`` names.

On Linux, where a C compiler and Python's headers are found. Elsewhere, and whatever goes wrong, the
package is complete without: see ``tokenbench/load/native.py`` and ``built.py``, which also leave
alone what was made of another source.
"""

from __future__ import annotations

import os
import runpy
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface
from packaging.tags import interpreter_name, interpreter_version, platform_tags

_SOURCE = Path("src/tokenbench/load/_native.c")
_MADE = _SOURCE.with_name("_native.abi3.so")
_BUILT = Path("src/tokenbench/load/built.py")
_LIMIT_S = 300.0


class NativeHook(BuildHookInterface):  # type: ignore[misc]
    """The wheel's hook. What was made of C serves every Python from 3.11 on, what mypyc made only
    the one that builds.
    """

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build both; on failure say why, and go on without."""
        root = Path(self.root)
        native = self._made(_build, root)
        modules = self._made(_build_modules, root)
        if not native and not modules:
            return
        python = interpreter_name() + interpreter_version()
        # For this system, whatever its C library: what may be published elsewhere says auditwheel.
        platform = next(tag for tag in platform_tags() if tag.startswith("linux_"))
        abi = f"{python}-{python}" if modules else "cp311-abi3"
        build_data["tag"] = f"{abi}-{platform}"
        build_data["pure_python"] = False
        build_data["artifacts"] += [file.relative_to(root).as_posix() for file in native + modules]

    def _made(self, build: Callable[[Path], list[Path]], root: Path) -> list[Path]:
        try:
            return build(root)
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            self.app.display_warning(f"without a compiled part: {error}")
            return []


def _check_place() -> None:
    """Raises RuntimeError where this is no place for compiled code."""
    if sys.platform != "linux" or sys.implementation.name != "cpython":
        raise RuntimeError(f"it is for CPython on Linux, this is {sys.platform}")
    if sysconfig.get_config_var("Py_GIL_DISABLED") or "_PYTHON_HOST_PLATFORM" in os.environ:
        raise RuntimeError("it is for a Python with a GIL, on the machine that builds it")


def _build(root: Path) -> list[Path]:
    """Compile ``_native.c``, and try it.

    Raises:
        RuntimeError: this is no place for it.
        OSError, subprocess.SubprocessError: what could not be done.
    """
    _check_place()
    source, made = root / _SOURCE, root / _MADE
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
    return [made]


def _build_modules(root: Path) -> list[Path]:
    """Have mypyc compile modules, unless that was done of these very sources, and try them.

    Raises:
        As `_build`.
    """
    _check_place()
    built = runpy.run_path(str(root / _BUILT))
    made: Path = built["folder"]()
    library: Path = built["library"](made)
    program = root / "mypyc_build.py"
    if not built["whole"](made) or library.stat().st_mtime < program.stat().st_mtime:
        made.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            _run(sys.executable, str(program), folder)
            if built["folder"]() != made:
                raise RuntimeError("its sources were changed meanwhile: install it again")
            fresh = sorted(
                Path(folder, "lib").rglob("*.so"), key=lambda file: file.name == library.name
            )
            for file in fresh:  # The library comes last: with it, all of it is there.
                beside = made / f".{file.name}"
                shutil.copyfile(file, beside)
                beside.replace(made / file.name)
        try:
            built["load"](made)
        except ImportError as error:
            library.unlink()
            raise RuntimeError(str(error)) from None
    for old in made.parent.iterdir():
        if old != made:
            shutil.rmtree(old, ignore_errors=True)
    suffix = library.name.partition(".")[2]
    return sorted(made.glob(f"*.{suffix}"))


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
