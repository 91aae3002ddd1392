"""``python mypyc_build.py FOLDER``: compiles what ``load/built.py`` names, into that folder.

A program of its own, because mypyc ends the process where it does not like something.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

from mypyc.build import mypycify
from setuptools import Distribution
from setuptools.command.build_ext import build_ext

# What mypy finds of libraries makes the code better, not right: nothing depends on it.
_OPTIONS = ["--config-file=", "--follow-imports=silent", "--ignore-missing-imports"]


def main(folder: str) -> None:
    """Compile; ``FOLDER/lib`` gets the modules."""
    os.chdir(Path(__file__).parent / "src")
    built = runpy.run_path("tokenbench/load/built.py")
    files = [f"tokenbench/load/{name}.py" for name in built["MODULES"]]
    modules = mypycify(
        [*_OPTIONS, f"--cache-dir={folder}/cache", *files],
        group_name=built["GROUP"],
        target_dir=f"{folder}/c",
        opt_level="2",
        debug_level="0",
    )
    command = build_ext(Distribution({"ext_modules": modules}))
    command.build_lib, command.build_temp = f"{folder}/lib", f"{folder}/objects"
    command.ensure_finalized()
    command.run()


if __name__ == "__main__":
    main(sys.argv[1])
