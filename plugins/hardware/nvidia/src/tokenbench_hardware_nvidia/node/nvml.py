"""The driver's library NVML, through the binding pynvml (nvidia-ml-py).

Return codes: nvmlReturn_t in nvml.h (docs.nvidia.com/deploy/nvml-api, read 2026-11).
"""

from __future__ import annotations

from typing import Any, Callable, NamedTuple, Sequence

_INVALID_ARGUMENT = 2
_NOT_SUPPORTED = 3
_NO_PERMISSION = 4
_NOT_FOUND = 6
_DRIVER_NOT_LOADED = 9
_LIBRARY_NOT_FOUND = 12
_FUNCTION_NOT_FOUND = 13
_GPU_IS_LOST = 15
_RESET_REQUIRED = 16
_VERSION_MISMATCH = 18
_ARGUMENT_VERSION_MISMATCH = 25

_UNAVAILABLE = {
    _INVALID_ARGUMENT,
    _NOT_SUPPORTED,
    _NOT_FOUND,
    _FUNCTION_NOT_FOUND,
    _ARGUMENT_VERSION_MISMATCH,
}
_PERMANENT = _UNAVAILABLE | {_NO_PERMISSION}
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
    _GPU_IS_LOST: (
        "the NVIDIA driver lost a GPU",
        "check it with nvidia-smi; a lost GPU needs a reset or a reboot",
    ),
    _RESET_REQUIRED: (
        "an NVIDIA GPU needs a reset",
        "stop its processes, then nvidia-smi --gpu-reset, or reboot",
    ),
    _VERSION_MISMATCH: (
        "the NVIDIA library and the loaded driver differ in version",
        "reload the NVIDIA kernel modules, or reboot",
    ),
}


class Absent(NamedTuple):
    """Why NVML is not available, and a remedy."""

    reason: str
    hint: str


class QueryError(Exception):
    """NVML returned an error. Without a `code`, the binding failed."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code

    @property
    def unavailable(self) -> bool:
        """This board or driver does not have the function; an older one may do."""
        return self.code in _UNAVAILABLE or self.code is None

    @property
    def permanent(self) -> bool:
        """Asking again gives the same error."""
        return self.code in _PERMANENT or self.code is None

    @property
    def gone(self) -> bool:
        """The whole GPU stopped responding."""
        return self.code in _DEVICE_GONE


Query = Callable[["Nvml", Any], Any]
"""Reads a value of the device with this handle. Raises QueryError."""


class Nvml:
    """The initialized library. NVML counts initializations, so several may exist at once."""

    def __init__(self, library: Any) -> None:
        self.library = library
        self._open = True

    def ask(self, function: str, *args: Any) -> Any:
        """Call a function of the library. Returns bytes as text.

        Raises:
            QueryError: the call failed.
        """
        call = getattr(self.library, function, None)
        if call is None:
            raise QueryError(f"this nvidia-ml-py has no {function}")
        try:
            answer = call(*args)
        except Exception as error:
            raise QueryError(_message(error), _code(self.library, error)) from error
        return answer.decode(errors="replace") if isinstance(answer, bytes) else answer

    def first(self, handle: Any, queries: Sequence[Query]) -> Any:
        """The answer of the first query that this board and driver have.

        Raises:
            QueryError: none has an answer. Of several errors, that of a function that exists.
        """
        best: QueryError | None = None
        for query in queries:
            try:
                return query(self, handle)
            except QueryError as error:
                if best is None or best.code in (None, _FUNCTION_NOT_FOUND):
                    best = error
                if not error.unavailable:
                    break
        raise best or QueryError("nothing to ask")

    def field(self, handle: Any, number: int) -> Any:
        """The value of an NVML field (NVML_FI_*).

        Raises:
            QueryError: the board does not have it.
        """
        (found,) = self.ask("nvmlDeviceGetFieldValues", handle, [number])
        if found.nvmlReturn:
            raise QueryError(self.error_text(found.nvmlReturn), found.nvmlReturn)
        # nvmlValueType_t
        members = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
        if found.valueType >= len(members):
            raise QueryError(f"field {number} has the unknown type {found.valueType}")
        return getattr(found.value, members[found.valueType])

    def error_text(self, code: int) -> str:
        """NVML's message for a return code."""
        return _message(self.library.NVMLError(code))

    def close(self) -> None:
        """Release the driver. May be called twice."""
        if self._open:
            self._open = False
            try:
                self.library.nvmlShutdown()
            except Exception:
                pass


def open_nvml() -> Nvml | Absent:
    """Initialize NVML, or return why that is not possible."""
    try:
        import pynvml
    except Exception as error:
        missing = isinstance(error, ImportError)
        return Absent(
            reason="nvidia-ml-py, the library for the NVIDIA driver, "
            + ("is not installed" if missing else f"cannot be imported ({error!r})"),
            hint='where bench runs: pip install "tokenbench-hardware-nvidia[nvml]"',
        )
    try:
        pynvml.nvmlInit()
    except Exception as error:
        reason, hint = _CANNOT_OPEN.get(
            _code(pynvml, error) or 0,
            ("the NVIDIA driver does not answer", "check it with nvidia-smi"),
        )
        return Absent(reason=f"{reason} (NVML: {_message(error)})", hint=hint)
    return Nvml(pynvml)


def _code(library: Any, error: Exception) -> int | None:
    if isinstance(error, library.NVMLError):
        return getattr(error, "value", None)
    mismatch = getattr(library, "NVMLLibraryMismatchError", None)
    # pynvml raises it for a function without a version that the driver does not have.
    return _FUNCTION_NOT_FOUND if mismatch and isinstance(error, mismatch) else None


def _message(error: Exception) -> str:
    try:
        text = str(error)
    except Exception:
        # pynvml asks the library for the text of a code that it does not know.
        text = f"code {getattr(error, 'value', '?')}"
    return " ".join(text.split()) or repr(error)
