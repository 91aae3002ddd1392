"""Modules of this package that were compiled when it was installed.

What runs once for every request is compiled by mypyc, from what stands here, where mypy and a C
compiler are found then (``core/hatch_build.py``): it does the same with a third fewer instructions.
It lies in a folder named after the sources, so a checkout that was changed and not installed again
runs as it stands; and so does everything where the environment has TOKENBENCH_PURE=1.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import zlib
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

MODULES = ("connection", "driver", "exchange", "loops", "pool", "recorder", "sse")
GROUP = "tokenbench_load"
_LIBRARY = f"{GROUP}__mypyc"
_HERE = Path(__file__).parent


def folder() -> Path:
    """Where what was made of these very sources lies, if anything was. The API is among them: mypyc
    compiles what it knows of types.
    """
    digest = 0
    for file in sorted((*_HERE.glob("[!.]*.py"), *_HERE.parent.glob("api/[!.]*.py"))):
        digest = zlib.crc32(file.read_bytes(), digest)
    return _HERE / "_built" / f"{digest:08x}"


def library(made: Path) -> Path:
    """The file that holds all of them, for the Python that runs; it is written last."""
    return made / f"{_LIBRARY}{EXTENSION_SUFFIXES[0]}"


def whole(made: Path) -> bool:
    """Whether all of it is there, for the Python that runs."""
    suffix = EXTENSION_SUFFIXES[0]
    return all((made / f"{name}{suffix}").is_file() for name in (*MODULES, _LIBRARY))


def load(made: Path) -> None:
    """Load that file, under the name by which the modules beside it ask for it.

    Raises:
        ImportError: it is not there, or not for this system.
    """
    spec = importlib.util.spec_from_file_location(_LIBRARY, library(made))
    if spec is None or spec.loader is None:
        raise ImportError(f"no library: {made}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[_LIBRARY] = module


def use(path: list[str]) -> bool:
    """Have modules found first where they are compiled, by the `path` of their package; whether
    they are.
    """
    if os.environ.get("TOKENBENCH_PURE"):
        return False
    try:
        made = folder()
        if not whole(made):
            return False
        load(made)
    except (ImportError, OSError):
        return False
    path.insert(0, str(made))
    return True
