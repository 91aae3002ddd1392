"""What the driver reports as broken, and the scale-up fabric.

Names and values: nvml.h (docs.nvidia.com/deploy/nvml-api, read 2026-11).
"""

from __future__ import annotations

import ctypes
import uuid
from typing import Any, Callable

from .nvml import Nvml, QueryError

_UNCORRECTED, _VOLATILE = 1, 0  # nvmlMemoryErrorType_t, nvmlEccCounterType_t
_FIELD_RECOVERY_ACTION = 230  # NVML_FI_DEV_GET_GPU_RECOVERY_ACTION
# nvmlDeviceGpuRecoveryAction_t
_RECOVERY_ACTIONS = {
    1: "reset the GPU",
    2: "reboot the host",
    3: "stop peer-to-peer traffic",
    4: "drain and reset the GPU",
    5: "recover the IMEX domain",
    6: "reset its bus",
    7: "reboot the system",
}
# nvmlGpuFabricState_t
_NOT_STARTED, _IN_PROGRESS, _COMPLETED = 1, 2, 3
# Two bits each of the fabric's health mask, where 1 is "true" (NVML_GPU_FABRIC_HEALTH_MASK_*).
_FABRIC_HEALTH = {
    0: "degraded bandwidth",
    2: "a route is being recovered",
    4: "a route is unhealthy",
    6: "an access timeout is being recovered",
}
# Four bits from bit 8; 0 is unknown, 1 is none.
_FABRIC_CONFIGURATION = {
    2: "wrong system GUID",
    3: "wrong chassis serial number",
    4: "no partition",
    5: "too few NVLinks",
    6: "incompatible GPU firmware",
    7: "invalid location",
    8: "invalid GPU state",
}
# nvmlGpuFabricHealthSummary
_FABRIC_SUMMARY = {2: "unhealthy", 3: "limited capacity"}


class _FabricV3(ctypes.Structure):
    """nvmlGpuFabricInfo_v3_t (driver 570); the first 36 bytes are nvmlGpuFabricInfo_v2_t."""

    _fields_ = (
        ("version", ctypes.c_uint),
        ("clusterUuid", ctypes.c_uint8 * 16),
        ("status", ctypes.c_int),
        ("cliqueId", ctypes.c_uint32),
        ("state", ctypes.c_uint8),
        ("healthMask", ctypes.c_uint32),
        ("healthSummary", ctypes.c_uint8),
    )


class _FabricV1(ctypes.Structure):
    """nvmlGpuFabricInfo_t (driver 535)."""

    _fields_ = (
        ("clusterUuid", ctypes.c_uint8 * 16),
        ("status", ctypes.c_int),
        ("cliqueId", ctypes.c_uint32),
        ("state", ctypes.c_uint8),
    )


def fabric(nvml: Nvml, handle: Any) -> str | None:
    """Cluster UUID and clique: what the GPUs of one NVLink domain share. None for a GPU whose
    NVLinks stay in its host.

    Raises:
        QueryError: the driver knows no fabric.
    """
    info = _fabric_info(nvml, handle)
    if info.state != _COMPLETED or info.status or not any(info.clusterUuid):
        return None
    return f"{uuid.UUID(bytes=bytes(info.clusterUuid))} clique {info.cliqueId}"


def faults(nvml: Nvml, board: Any) -> tuple[list[str], list[QueryError]]:
    """What is broken, and errors of the queries that the board should answer."""
    found: list[str] = []
    errors: list[QueryError] = []
    for check in _CHECKS:
        try:
            found.extend(check(nvml, board))
        except QueryError as error:
            if not error.unavailable:
                errors.append(error)
    return found, errors


def _fabric_info(nvml: Nvml, handle: Any) -> Any:
    def versioned(version: int) -> Callable[[Nvml, Any], Any]:
        def query(nvml: Nvml, handle: Any) -> Any:
            info = _FabricV3(version=version)
            nvml.ask("nvmlDeviceGetGpuFabricInfoV", handle, ctypes.byref(info))
            return info

        return query

    def old(nvml: Nvml, handle: Any) -> Any:
        info = _FabricV1()
        nvml.ask("nvmlDeviceGetGpuFabricInfo", handle, ctypes.byref(info))
        return info

    return nvml.first(handle, (versioned(0x03000028), versioned(0x02000024), old))


def _uncorrected_errors(nvml: Nvml, board: Any) -> list[str]:
    count = nvml.ask("nvmlDeviceGetTotalEccErrors", board, _UNCORRECTED, _VOLATILE)
    return [f"{count} uncorrected memory errors since the driver was loaded"] if count else []


def _retired_pages(nvml: Nvml, board: Any) -> list[str]:
    pending = nvml.ask("nvmlDeviceGetRetiredPagesPendingStatus", board)
    return ["memory pages wait for retirement (reset the GPU)"] if pending else []


def _remapped_rows(nvml: Nvml, board: Any) -> list[str]:
    _, _, pending, failed = nvml.ask("nvmlDeviceGetRemappedRows", board)
    return [
        *(["memory rows wait to be remapped (reset the GPU)"] if pending else []),
        *(["remapping of memory rows failed"] if failed else []),
    ]


def _recovery_action(nvml: Nvml, board: Any) -> list[str]:
    action = nvml.field(board, _FIELD_RECOVERY_ACTION)
    if not action:
        return []
    return [f"the driver asks for recovery: {_RECOVERY_ACTIONS.get(action, f'action {action}')}"]


def _fabric_health(nvml: Nvml, board: Any) -> list[str]:
    info = _fabric_info(nvml, board)
    if info.state == _NOT_STARTED:
        return ["NVLink fabric: registration has not started (is the fabric manager running?)"]
    if info.state == _IN_PROGRESS:
        return ["NVLink fabric: registration is in progress"]
    if info.state != _COMPLETED:
        return []
    if info.status:
        return [f"NVLink fabric: registration failed ({nvml.error_text(info.status)})"]
    mask = getattr(info, "healthMask", 0)
    broken = [text for shift, text in _FABRIC_HEALTH.items() if mask >> shift & 0x3 == 1]
    configuration = _FABRIC_CONFIGURATION.get(mask >> 8 & 0xF)
    if configuration:
        broken.append(f"configuration: {configuration}")
    summary = _FABRIC_SUMMARY.get(getattr(info, "healthSummary", 0))
    if summary and not broken:
        broken.append(summary)
    return [f"NVLink fabric: {text}" for text in broken]


_CHECKS = (_uncorrected_errors, _retired_pages, _remapped_rows, _recovery_action, _fabric_health)
