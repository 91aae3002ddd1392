"""For plugin authors: the conformance kit and a scripted server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cases import (
        AmendmentKit,
        CodecKit,
        EngineKit,
        EvalKit,
        HardwareKit,
        LauncherKit,
        ModelKit,
        ObserverKit,
        ReporterKit,
        WorkloadKit,
    )

__all__ = [
    "AmendmentKit",
    "CodecKit",
    "EngineKit",
    "EvalKit",
    "HardwareKit",
    "LauncherKit",
    "ModelKit",
    "ObserverKit",
    "ReporterKit",
    "WorkloadKit",
]


def __getattr__(name: str) -> Any:
    """Import the base classes on first use: the scripted server starts without them."""
    if name in __all__:
        from . import cases

        return getattr(cases, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
