"""Build the ground-truth server and the floor client where a C compiler is found.

``python benchmarks/build.py FOLDER`` builds into a folder; the benchmark uses a temporary one.
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
    """The two programs."""

    server: Path
    client: Path


def compiler() -> str | None:
    """A C compiler: ``$CC``, else the first of :data:`COMPILERS` on the path; None without one."""
    names = (os.environ["CC"],) if os.environ.get("CC") else COMPILERS
    return next((found for found in map(shutil.which, names) if found), None)


def build(folder: Path) -> Binaries:
    """Compile both with ``-O2``.

    Raises:
        RuntimeError: there is no compiler, or it refused.
    """
    found = compiler()
    if found is None:
        raise RuntimeError(f"no C compiler: none of {', '.join(COMPILERS)} is installed")
    made = {}
    for name in ("server", "client"):
        made[name] = folder / name
        command = [found, "-O2", "-Wall", "-Wextra", "-o", str(made[name])]
        done = subprocess.run(
            [*command, str(SOURCES / f"{name}.c")], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{name}.c does not compile here:\n{done.stderr}")
    return Binaries(**made)


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "build")
    target.mkdir(parents=True, exist_ok=True)
    try:
        print(build(target))
    except RuntimeError as error:
        sys.exit(str(error))
