"""AMD SMI's Python interface, the package `amdsmi`, as the host has it.

It comes with ROCm and matches one version of libamd_smi.so, because it repeats the layout of the
library's structs. So it is not sent to hosts, and the one in ROCm's folder is preferred. Read:
amdsmi 6.0.2, 6.1.2, 6.2.4, 6.3.3, 6.4.4 and 7.0.2 from PyPI, and ROCm/amdsmi (0ceca28, 2024-10) for
what the library does (all read 2026-11).
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# amdsmi_status_t. These values are the same in all versions named above.
_NOT_SUPPORTED = 2
_NOT_YET_IMPLEMENTED = 3
_FAIL_LOAD = (4, 5)
_NO_PERM = 10
NOT_FOUND = 31
_NOT_INIT = 32
_DRIVER_NOT_LOADED = 34
_NO_DRV = 51

# A member of a struct without a value has all bits set. amdsmi turns some of these into "N/A".
NO_VALUES = (0xFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)

_INSTALL = (
    "install AMD SMI, which is part of ROCm (its package is amd-smi-lib), or set ROCM_PATH to the "
    "folder of ROCm; amd-smi list should then work"
)
_DRIVER = "load the driver (modprobe amdgpu) and check it with amd-smi list"
_ACCESS = (
    "add the user to the groups render and video; a container needs the devices /dev/kfd and "
    "/dev/dri"
)
_CANNOT_OPEN = {
    _NO_PERM: ("this user may not access the AMD GPUs", _ACCESS),
    _NOT_INIT: ("the driver amdgpu is not ready", _DRIVER),
    _DRIVER_NOT_LOADED: ("the driver amdgpu is not loaded", _DRIVER),
    _NO_DRV: ("the driver amdgpu is not loaded", _DRIVER),
    NOT_FOUND: ("the driver amdgpu has no GPU", "check it with amd-smi list"),
    **dict.fromkeys(_FAIL_LOAD, ("AMD SMI is not complete on this host", _INSTALL)),
}


class Absent(Exception):
    """AMD SMI cannot be used here: the reason and a remedy."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.hint = hint


class QueryError(Exception):
    """A query failed. `permanent`: it will fail again. `gone`: the library has no such GPU."""

    def __init__(self, reason: str, *, permanent: bool = False, gone: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent
        self.gone = gone


class Smi:
    """The initialized library. Several may be open: the last one to close shuts the library down,
    which itself does not count (amdsmi_init and amdsmi_shut_down in amd_smi.cc).
    """

    _users = 0

    def __init__(self, library: Any) -> None:
        self.library = library
        self._open = True
        try:
            library.amdsmi_init()
        except Exception as error:
            code, text = _explain(error)
            reason, hint = _CANNOT_OPEN.get(
                code, ("AMD SMI does not start", "check the GPUs with amd-smi list")
            )
            raise Absent(f"{reason} (amdsmi: {text})", hint) from error
        Smi._users += 1

    def ask(self, function: str, *args: Any) -> Any:
        """Call a function of the interface.

        Raises:
            QueryError: the call failed, or this version has no such function.
        """
        call = getattr(self.library, function, None)
        if call is None:
            raise QueryError(f"this amdsmi has no {function}", permanent=True)
        try:
            return call(*args)
        except Exception as error:
            code, text = _explain(error)
            permanent = code in (_NOT_SUPPORTED, _NOT_YET_IMPLEMENTED)
            raise QueryError(text, permanent=permanent, gone=code == NOT_FOUND) from error

    def get(self, function: str, *args: Any) -> Any:
        """Call a function of the interface; None if the call fails."""
        try:
            return self.ask(function, *args)
        except QueryError:
            return None

    def table(self, function: str, *args: Any) -> dict[str, Any]:
        """Call a function that returns a dict; an empty one if the call fails."""
        answer = self.get(function, *args)
        return answer if isinstance(answer, dict) else {}

    def member(self, enum: str, name: str) -> Any:
        """A member of an enum of the interface.

        Raises:
            QueryError: this version has no such member.
        """
        try:
            return getattr(getattr(self.library, enum), name)
        except AttributeError as error:
            raise QueryError(f"this amdsmi has no {enum}.{name}", permanent=True) from error

    def close(self) -> None:
        """Release the library. May be called twice."""
        if self._open:
            self._open = False
            Smi._users -= 1
            if Smi._users == 0:
                self.get("amdsmi_shut_down")


def open_smi() -> Smi:
    """Import amdsmi and initialize it.

    Raises:
        Absent: it is not on this host or does not start.
    """
    return Smi(_import())


def number(value: Any, no_values: tuple[int, ...] = NO_VALUES) -> float | None:
    """The value, if it is a number and not one that stands for a missing value."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value in no_values:
        return None
    return value


def text(value: Any) -> str | None:
    """The value, if it is a text that says something."""
    words = " ".join(value.split()) if isinstance(value, str) else ""
    return None if words in ("", "N/A") else words


def _import() -> Any:
    if "amdsmi" in sys.modules:
        return sys.modules["amdsmi"]
    why = []
    for folder in _folders():
        try:
            return _import_from(folder)
        except ModuleNotFoundError as error:
            if error.name != "amdsmi":
                why.append(f"{folder or 'amdsmi'}: {error}")
        except Exception as error:
            why.append(f"{folder or 'amdsmi'}: {_one_line(error)}")
    if not why:
        raise Absent("AMD SMI's Python interface amdsmi is not installed on this host", _INSTALL)
    raise Absent(f"amdsmi cannot be imported on this host ({'; '.join(why)})", _INSTALL)


def _folders() -> Iterator[str | None]:
    """Where amdsmi may be; None stands for Python's own search."""
    roots = [os.environ.get(name) for name in ("ROCM_HOME", "ROCM_PATH")]
    roots += ["/opt/rocm", *map(str, sorted(Path("/opt").glob("rocm-*"), reverse=True))]
    for root in dict.fromkeys(roots):
        folder = Path(root, "share", "amd_smi") if root else None
        if folder and (folder / "amdsmi").is_dir():
            yield str(folder)
    yield None


def _import_from(folder: str | None) -> Any:
    """Import without printing: amdsmi prints where the library is missing, then fails with KeyError
    (find_smi_library in amdsmi_wrapper.py).

    Raises:
        Exception: of any kind; its text includes what was printed.
    """
    printed = io.StringIO()
    if folder:
        sys.path.insert(0, folder)
    try:
        with contextlib.redirect_stdout(printed):
            return importlib.import_module("amdsmi")
    except Exception as error:
        for name in [name for name in sys.modules if name.split(".")[0] == "amdsmi"]:
            del sys.modules[name]
        said = printed.getvalue().strip().splitlines()
        if said and not isinstance(error, ModuleNotFoundError):
            raise ImportError(said[0]) from error
        raise
    finally:
        if folder:
            sys.path.remove(folder)


def _explain(error: Exception) -> tuple[int, str]:
    """The status code (-1: none) and the message of an exception of amdsmi, on one line."""
    code = getattr(error, "err_code", None)
    said = getattr(error, "err_info", None) if isinstance(code, int) else None
    return code if isinstance(code, int) else -1, _one_line(said or error)


def _one_line(error: object) -> str:
    line = " ".join(str(error).split())
    if isinstance(error, Exception) and not isinstance(error, ImportError):
        return f"{type(error).__name__}: {line}"
    return line
