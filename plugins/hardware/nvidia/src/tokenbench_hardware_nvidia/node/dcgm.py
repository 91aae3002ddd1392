"""Samples from a page of dcgm-exporter (Prometheus text).

Fields and blank values: dcgm_fields.h and dcgm_structs.h of DCGM 4.6 and the field identifiers of
DCGM 4.7 (docs.nvidia.com/datacenter/dcgm/latest/reference/field-identifiers.html, read 2026-11).
dcgm-exporter 4.9 renamed the fields and changed units (release notes of 4.9.0).
"""

from __future__ import annotations

import math
import re
import threading
import time
import urllib.request
from typing import Any, Callable, Iterator, Optional, Sequence, Tuple

from .nvml import QueryError
from .readings import FIELDS, Reader, reasons

_MHZ, _MIB = 1e6, 1 << 20
_PERIOD_S = 1.0
_TIMEOUT_S = 2.0
_MAX_AGE_S = 3.0
_PART_BYTES = 1 << 16
_MAX_PARTS = 4096
_GIVE_UP_S = 3.0  # of a probe
_REMEDY = "start dcgm-exporter with --collect-interval 1000; its default is 30 s"

Convert = Callable[[float], Any]
Place = Tuple[Optional[str], int, Optional[int]]
"""Of a device on a page: UUID and number of its GPU, ID of the MIG instance."""


def _scaled(factor: float) -> Convert:
    return lambda value: value * factor


def _sensor(celsius: float) -> float | None:
    # 0 is reported for memory without a sensor.
    return celsius or None


METRICS: dict[str, tuple[str, Convert]] = {
    "DCGM_FI_DEV_BOARD_POWER_WATTS": ("power_w", float),
    "DCGM_FI_DEV_POWER_USAGE": ("power_w", float),
    "DCGM_FI_DEV_GPU_ENERGY_JOULES_TOTAL": ("energy_j", float),
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": ("energy_j", _scaled(1e-3)),
    "DCGM_FI_DEV_GPU_UTIL_RATIO": ("utilization", float),
    "DCGM_FI_DEV_GPU_UTIL": ("utilization", _scaled(0.01)),
    "DCGM_FI_DEV_FB_USED_BYTES": ("memory_used_bytes", int),
    "DCGM_FI_DEV_FB_USED": ("memory_used_bytes", lambda value: int(value * _MIB)),
    "DCGM_FI_DEV_GPU_TEMP_CELSIUS": ("temperature_c", float),
    "DCGM_FI_DEV_GPU_TEMP": ("temperature_c", float),
    "DCGM_FI_DEV_MEMORY_TEMP_CELSIUS": ("memory_temperature_c", _sensor),
    "DCGM_FI_DEV_MEMORY_TEMP": ("memory_temperature_c", _sensor),
    "DCGM_FI_DEV_SM_CLOCK_HERTZ": ("clock_hz", float),
    "DCGM_FI_DEV_SM_CLOCK": ("clock_hz", _scaled(_MHZ)),
    "DCGM_FI_DEV_MEMORY_CLOCK_HERTZ": ("memory_clock_hz", float),
    "DCGM_FI_DEV_MEM_CLOCK": ("memory_clock_hz", _scaled(_MHZ)),
    "DCGM_FI_DEV_CLOCKS_EVENT_REASONS": ("throttle", lambda value: reasons(int(value))),
    "DCGM_FI_DEV_CLOCK_THROTTLE_REASONS": ("throttle", lambda value: reasons(int(value))),
}
# A MIG instance's lines repeat these of its board.
_OF_THE_BOARD = {"power_w", "energy_j", "utilization", "clock_hz", "memory_clock_hz"}

_LINE = re.compile(r"(\w+)\{(.*)\}\s+(\S+)(?:\s+-?\d+)?\s*$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Page:
    """Values by device: its GPU's UUID or number, and the ID of a MIG instance or None."""

    def __init__(self, text: str) -> None:
        self.by_uuid: dict[tuple[str, str | None], dict[str, Any]] = {}
        self.by_number: dict[tuple[str, str | None], dict[str, Any]] = {}
        for name, labels, value in _metrics(text):
            field, convert = METRICS[name]
            number, instance = labels.get("gpu", ""), labels.get("gpu_i_id") or None
            if instance and field in _OF_THE_BOARD:
                continue
            row = self.by_number.setdefault((number, instance), {})
            if labels.get("uuid"):
                row = self.by_uuid.setdefault((labels["uuid"], instance), row)
            converted = None if _is_blank(value) else convert(value)
            if converted is not None:
                row[field] = converted

    def of(self, uuid: str | None, number: int, instance: int | None) -> dict[str, Any] | None:
        """The values of a device; None if it is not on the page. `number`: of its GPU, for a page
        without UUIDs.
        """
        part = None if instance is None else str(instance)
        if uuid and self.by_uuid:
            return self.by_uuid.get((uuid, part))
        return self.by_number.get((str(number), part))

    def energies(self) -> list[float]:
        """The energy counters."""
        return [row["energy_j"] for row in self.by_number.values() if "energy_j" in row]


class Poller:
    """Reads the page once a second, in a thread."""

    def __init__(self, address: str) -> None:
        self.first = threading.Event()
        self._address = address
        self._stop = threading.Event()
        self._newest: tuple[float, Page] | None = None
        self._energies: list[float] = []
        self._problem = f"{address}: no answer"
        # A proxy for the internet cannot reach a page of this host.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def page(self) -> Page | str:
        """The newest page, or why none is new enough."""
        newest = self._newest
        if newest is not None and time.monotonic() - newest[0] <= _MAX_AGE_S:
            return newest[1]
        return self._problem

    def close(self) -> None:
        """Stop. Does not wait for an answer. May be called twice."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                self._read(started)
            except Exception as error:
                self._problem = f"{self._address}: {getattr(error, 'reason', None) or error!r}"
            self.first.set()
            self._stop.wait(max(0.0, _PERIOD_S - (time.monotonic() - started)))

    def _read(self, started: float) -> None:
        page = Page(self._text(started + _TIMEOUT_S))
        if not page.by_number:
            raise ValueError("no metric of a GPU (is it the /metrics page of dcgm-exporter?)")
        energies = page.energies()
        if energies and energies == self._energies:
            # Energy always grows: dcgm-exporter has not read the GPUs again.
            self._problem = f"{self._address} does not change ({_REMEDY})"
            return
        self._energies = energies
        self._newest = started, page

    def _text(self, until: float) -> str:
        parts: list[bytes] = []
        with self._opener.open(self._address, timeout=_TIMEOUT_S) as answer:
            for _ in range(_MAX_PARTS):
                part = answer.read1(_PART_BYTES)
                if not part:
                    return b"".join(parts).decode(errors="replace")
                parts.append(part)
                if time.monotonic() > until:
                    raise TimeoutError(f"no complete answer within {_TIMEOUT_S:g} s")
        raise ValueError("the page is too long")


class DcgmSampler:
    """Values from the page; processes, and which GPU is which, from NVML."""

    def __init__(self, address: str, nvml: Any) -> None:
        self._nvml = nvml
        self._poller = Poller(address)
        self._places: dict[int, Place] = {}
        self._seen: set[int] = set()

    def sample(self) -> list[dict[str, Any]]:
        """The newest reading of each device."""
        self._nvml.look()
        page = self._poller.page()
        return [self._row(index, page) for index in self._nvml.devices]

    def close(self) -> None:
        """Stop reading, and release the driver. May be called twice."""
        self._poller.close()
        self._nvml.close()

    def _row(self, index: int, page: Page | str) -> dict[str, Any]:
        row: dict[str, Any] = {"device": index}
        reader = self._nvml.readers.get(index)
        if isinstance(page, Page):
            values = page.of(*self._place(index))
            if values is None and index in self._seen:
                return {**row, "lost": "the page of dcgm-exporter no longer has it"}
            if values:
                self._seen.add(index)
                row.update(values)
        if reader is not None:
            reader.add_pids(row)
            if reader.lost is not None:
                return {"device": index, "lost": reader.lost}
        return row

    def _place(self, index: int) -> Place:
        reader = self._nvml.readers.get(index)
        if reader is None:
            return None, index, None
        if index not in self._places:
            self._places[index] = place(reader)
        return self._places[index]


def place(reader: Reader) -> Place:
    """Where a device is on a page."""
    uuid: str | None = None
    try:
        uuid = reader.nvml.ask("nvmlDeviceGetUUID", reader.unit.board)
    except QueryError:
        pass
    return uuid, reader.unit.board_index, reader.unit.instance


def notes_of_page(address: str, readers: Sequence[Reader], pids: str | None) -> dict[str, str]:
    """Why fields are not on the page, or why there is no page."""
    poller = Poller(address)
    poller.first.wait(_GIVE_UP_S)
    page = poller.page()
    poller.close()
    notes = {} if pids is None else {"pids": pids}
    if isinstance(page, str):
        return {**notes, **dict.fromkeys(FIELDS, f"DCGM: {page}")}
    missing: dict[str, list[int]] = {}
    for reader in readers:
        values = page.of(*place(reader)) or {}
        for field in FIELDS:
            if field not in values:
                missing.setdefault(field, []).append(reader.unit.device)
    for field, indexes in missing.items():
        which = "" if len(indexes) == len(readers) else f"device {', '.join(map(str, indexes))}: "
        notes[field] = f"{which}not on the page of dcgm-exporter{_remedy(field)}"
    return notes


def _remedy(field: str) -> str:
    if field != "throttle":
        return ""
    # etc/default-counters.csv of dcgm-exporter 4.5 does not have it.
    return ", add DCGM_FI_DEV_CLOCKS_EVENT_REASONS to its fields"


def _metrics(text: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for line in text.splitlines():
        found = _LINE.match(line)
        if found is None or found.group(1) not in METRICS:
            continue
        try:
            value = float(found.group(3))
        except ValueError:
            continue
        yield found.group(1), {k.lower(): v for k, v in _LABEL.findall(found.group(2))}, value


def _is_blank(value: float) -> bool:
    """DCGM's values for "none": from 0x7ffffffffffffff0, and 140737488355328.0 to .0 + 15."""
    if not math.isfinite(value) or value < 0:
        return True
    return value >= 0x7FFFFFFFFFFFFFF0 or 0 <= value - 140737488355328.0 < 16
