"""The driver's library NVML, through nvidia-ml-py.

Return codes: nvmlReturn_t in nvml.h (docs.nvidia.com/deploy/nvml-api, read 2026-11).
"""

from __future__ import annotations

import contextlib
from typing import Any

import attrs

_NOT_SUPPORTED = 3
_NO_PERMISSION = 4
_DRIVER_NOT_LOADED = 9
_LIBRARY_NOT_FOUND = 12
_FUNCTION_NOT_FOUND = 13
_GPU_IS_LOST = 15
_RESET_REQUIRED = 16
_VERSION_MISMATCH = 18

_PERMANENT = {_NOT_SUPPORTED, _NO_PERMISSION, _FUNCTION_NOT_FOUND}
_DEVICE_GONE = {_GPU_IS_LOST, _RESET_REQUIRED}

_CANNOT_OPEN = {
    _LIBRARY_NOT_FOUND: (
        "no NVIDIA driver here",
        "install the NVIDIA driver; a container needs the GPUs passed in (--gpus all)",
    ),
    _DRIVER_NOT_LOADED: (
        "the NVIDIA driver is not loaded",
        "load it (modprobe nvidia) and check it with nvidia-smi",
    ),
    _NO_PERMISSION: (
        "this user may not access the NVIDIA driver",
        "give the user access to /dev/nvidia*, then check it with nvidia-smi",
    ),
    _VERSION_MISMATCH: (
        "the NVIDIA library and the loaded driver differ in version",
        "reload the NVIDIA kernel modules, or reboot",
    ),
}


@attrs.frozen(kw_only=True)
class Absent:
    """Why NVML is not available, and a remedy."""

    reason: str
    hint: str


class QueryError(Exception):
    """NVML returned an error. `permanent`: it will persist. `gone`: the whole GPU stopped
    responding.
    """

    def __init__(self, reason: str, *, permanent: bool = False, gone: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.permanent = permanent
        self.gone = gone


class Nvml:
    """The initialized library. NVML counts initializations, so several may exist at once."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._open = True

    def ask(self, function: str, *args: Any) -> Any:
        """Call a function of the library. Returns bytes as text.

        Raises:
            QueryError: the call failed.
        """
        call = getattr(self._library, function, None)
        if call is None:
            raise QueryError(f"this nvidia-ml-py has no {function}", permanent=True)
        try:
            answer = call(*args)
        except self._library.NVMLError as error:
            code = getattr(error, "value", -1)
            raise QueryError(
                str(error), permanent=code in _PERMANENT, gone=code in _DEVICE_GONE
            ) from error
        return answer.decode(errors="replace") if isinstance(answer, bytes) else answer

    def get(self, function: str, *args: Any) -> Any:
        """Call a function of the library; None if the call fails."""
        try:
            return self.ask(function, *args)
        except QueryError:
            return None

    def close(self) -> None:
        """Release the driver. May be called twice."""
        if self._open:
            self._open = False
            with contextlib.suppress(self._library.NVMLError):
                self._library.nvmlShutdown()


def open_nvml() -> Nvml | Absent:
    """Initialize NVML, or return why that is not possible."""
    try:
        import pynvml
    except ImportError:
        return Absent(
            reason="nvidia-ml-py, the library for the NVIDIA driver, is not installed",
            hint='pip install "tokenbench-hardware-nvidia[nvml]"',
        )
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        code = getattr(error, "value", -1)
        reason, hint = _CANNOT_OPEN.get(
            code, ("the NVIDIA driver does not answer", "check it with nvidia-smi")
        )
        return Absent(reason=f"{reason} (NVML: {error})", hint=hint)
    return Nvml(pynvml)
