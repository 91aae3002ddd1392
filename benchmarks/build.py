"""Build the reference server and the minimal client, which are written in C.

``python benchmarks/build.py FOLDER`` builds into a folder; the benchmarks use a temporary one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import attrs

SOURCES = Path(__file__).resolve().parent / "c"
COMPILERS = ("cc", "gcc", "clang")


@attrs.frozen(kw_only=True)
class Binaries:
    """The paths of the two programs."""

    server: Path
    client: Path


def compiler() -> str | None:
    """``$CC`` or the first of :data:`COMPILERS` on the path; None if there is none."""
    names = (os.environ["CC"],) if os.environ.get("CC") else COMPILERS
    return next((found for found in map(shutil.which, names) if found), None)


def build(folder: Path) -> Binaries:
    """Compile both with ``-O2``.

    Raises:
        RuntimeError: there is no compiler, or it failed.
    """
    found = compiler()
    if found is None:
        raise RuntimeError(f"no C compiler: none of {', '.join(COMPILERS)} is installed")
    binaries = {}
    for name in ("server", "client"):
        binaries[name] = folder / name
        command = [found, "-O2", "-Wall", "-Wextra", "-o", str(binaries[name])]
        done = subprocess.run(
            [*command, str(SOURCES / f"{name}.c")], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"cannot compile {name}.c:\n{done.stderr}")
    return Binaries(**binaries)


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "build")
    target.mkdir(parents=True, exist_ok=True)
    try:
        print(build(target))
    except RuntimeError as error:
        sys.exit(str(error))
