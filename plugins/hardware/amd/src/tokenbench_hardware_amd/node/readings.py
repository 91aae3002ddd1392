"""Readings of a GPU through amdsmi, in the units of Sample.

Units as in amdsmi.h and in amdsmi's README of the versions in binding.py: power in W, clocks in
MHz, VRAM in MiB, temperatures in degrees C. Power is that of the socket (GPU and HBM).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .binding import QueryError, Smi, number

if TYPE_CHECKING:
    from collections.abc import Callable

    Source = Callable[["Board"], Any]

# gpu_metrics counts energy in units of 2^-16 J, 15.259 uJ (rocm_smi_gpu_metrics.h, and the kernel's
# kgd_pp_interface.h). amdsmi_get_energy_count gives the unit as 15.3 uJ (kEnergyCounterResolution
# in rocm_smi.cc), which is 0.3 % too much.
_ENERGY_UNIT_J = 2.0**-16

# Counters of gpu_metrics that grow while the reason is active, compared with accumulation_counter.
# amdsmi_get_violation_status compares the same counters, but waits 100 ms between two readings of
# a GPU (kFASTEST_POLL_TIME_MS in amd_smi.cc); the previous sample takes the place of the first.
_RESIDENCIES = {
    "ppt_residency_acc": "power cap",
    "socket_thm_residency_acc": "thermal: socket",
    "vr_thm_residency_acc": "thermal: voltage regulator",
    "hbm_thm_residency_acc": "thermal: memory",
    "prochot_residency_acc": "hardware: prochot",
}
# It calls a reason active from 1 % of the interval on.
_ACTIVE_SHARE = 0.01

OF_THE_BOARD = ("power_w", "energy_j", "throttle")
"""Fields that only one partition of a board has: added up, they would count it several times."""


class Board:
    """One GPU, or one partition of it. `refused` has the reason by field that has no value.

    Fields are read one by one, each from the first source that has it. Most come from one call,
    amdsmi_get_gpu_metrics_info: a consistent reading, and one access to the firmware instead of
    seven. `leads`: it is the partition that reports the fields of the board.
    """

    def __init__(self, smi: Smi, index: int, handle: Any, *, leads: bool = True) -> None:
        self.smi = smi
        self.index = index
        self.handle = handle
        self.refused: dict[str, str] = {}
        self.leads = leads
        self._answered = False
        self._useless: dict[str, str] = {}
        self._metrics: dict[str, Any] | QueryError | None = None
        self._residency: dict[str, float] = {}
        self._throttle: list[str] | None = None

    def read(self) -> dict[str, Any]:
        """One reading. A GPU that answered before and now fails for every field is lost until it
        answers again.
        """
        self._metrics = None
        row: dict[str, Any] = {"device": self.index}
        if self.handle is None:
            return {**row, "lost": "amdsmi does not list this GPU any more"}
        errors: list[QueryError] = []
        for field, sources in SOURCES.items():
            if field in OF_THE_BOARD and not self.leads:
                continue
            value, error = self.first(*sources)
            if value is not None:
                row[field] = value
                self.refused.pop(field, None)
                continue
            if error is not None:
                errors.append(error)
                self.refused[field] = error.reason
            elif field != "throttle":  # it has no value in the first sample
                self.refused[field] = "it reports no value"
        if len(row) > 1:
            self._answered = True
            return row
        gone = next((error for error in errors if error.gone), None)
        if gone or (errors and self._answered):
            row["lost"] = f"amdsmi: {(gone or errors[0]).reason}"
        if not self._answered:
            self._useless.clear()
        return row

    def ask(self, function: str, *args: Any) -> Any:
        """Call a function for this GPU, unless it said that it does not support it.

        Raises:
            QueryError: the call failed.
        """
        key = f"{function} {args}"
        if key in self._useless:
            raise QueryError(self._useless[key], permanent=True)
        try:
            return self.smi.ask(function, self.handle, *args)
        except QueryError as error:
            # A GPU that has disappeared may also say that it supports nothing.
            if error.permanent and not self._answered:
                self._useless[key] = error.reason
            raise

    def metrics(self) -> dict[str, Any]:
        """The table gpu_metrics, read once per sample.

        Raises:
            QueryError: it cannot be read.
        """
        if self._metrics is None:
            try:
                self._metrics = dict(self.ask("amdsmi_get_gpu_metrics_info"))
            except QueryError as error:
                self._metrics = error
        if isinstance(self._metrics, QueryError):
            raise self._metrics
        return self._metrics

    def throttle(self) -> list[str] | None:
        """Reasons active since the previous sample; None in the first sample."""
        metrics = self.metrics()
        now = {name: number(metrics.get(name)) for name in ("accumulation_counter", *_RESIDENCIES)}
        known = {name: value for name, value in now.items() if value is not None}
        if "accumulation_counter" not in known or len(known) == 1:
            return _throttled(metrics)
        before, self._residency = self._residency, known
        passed = known["accumulation_counter"] - before.get("accumulation_counter", 0)
        if not before or passed < 0:
            return None
        if passed > 0:
            self._throttle = [
                reason
                for name, reason in _RESIDENCIES.items()
                if name in known and name in before
                if (known[name] - before[name]) / passed >= _ACTIVE_SHARE
            ]
        return self._throttle

    def first(self, *sources: Source) -> tuple[Any, QueryError | None]:
        """The value of the first source that has one; otherwise the first error, if any."""
        failed = None
        for source in sources:
            try:
                value = source(self)
            except QueryError as error:
                failed = failed or error
            except Exception as error:  # an answer of another form than in the versions known
                failed = failed or QueryError(f"unexpected answer ({error!r})")
            else:
                if value is not None:
                    return value, None
        return None, failed


def _throttled(metrics: dict[str, Any]) -> list[str] | None:
    """Older GPUs and amdsmi before 6.3 only say whether there is a reason."""
    found = [metrics.get(name) for name in ("throttle_status", "indep_throttle_status")]
    known = [bool(value) for value in found if isinstance(value, bool) or number(value) is not None]
    if not known:
        raise QueryError("it reports no reasons for a lower clock")
    return ["other: throttled, without a reason"] if any(known) else []


def _metric(name: str, unit: float, *, most: float = float("inf"), least: float = 1) -> Source:
    """A member of gpu_metrics. Values outside of the limits stand for a missing value: 0 W, 0 MHz
    or 0 degrees are not measured.
    """

    def read(board: Board) -> float | None:
        value = number(board.metrics().get(name))
        return None if value is None or not least <= value <= most else value * unit

    return read


def _member(
    keys: tuple[str, ...], unit: float, function: str, *, least: float = 1, most: float = 1e12
) -> Source:
    """The first of these keys with a value in the answer of a function."""

    def read(board: Board) -> float | None:
        answer = board.ask(function)
        values = [number(answer.get(key)) for key in keys]
        return next((v * unit for v in values if v is not None and least <= v <= most), None)

    return read


def _energy(board: Board) -> float | None:
    answer = board.ask("amdsmi_get_energy_count")
    # The key was `power` until 6.3.
    count = number(answer.get("energy_accumulator", answer.get("power")))
    unit = number(answer.get("counter_resolution"))
    if not count or not unit:
        return None
    unit_j = unit * 1e-6
    return count * (_ENERGY_UNIT_J if abs(unit_j / _ENERGY_UNIT_J - 1) < 0.005 else unit_j)


def _temperature(sensor: str) -> Source:
    def read(board: Board) -> float | None:
        smi = board.smi
        kind = smi.member("AmdSmiTemperatureType", sensor)
        now = smi.member("AmdSmiTemperatureMetric", "CURRENT")
        value = number(board.ask("amdsmi_get_temp_metric", kind, now))
        return float(value) if value and value > 0 else None

    return read


def _clock(kind: str) -> Source:
    def read(board: Board) -> float | None:
        answer = board.ask("amdsmi_get_clock_info", board.smi.member("AmdSmiClkType", kind))
        # The key was `cur_clk` until 6.1.
        megahertz = number(answer.get("clk", answer.get("cur_clk")))
        return megahertz * 1e6 if megahertz else None

    return read


def vram_used(board: Board) -> int | None:
    """Bytes in use: asked of the partition's own render node, if there are partitions."""
    return _vram(board, "vram_used")


def vram_total(board: Board) -> int | None:
    """Bytes in all: see `vram_used`."""
    return _vram(board, "vram_total")


def _vram(board: Board, key: str) -> int | None:
    mebibytes = number(board.ask("amdsmi_get_gpu_vram_usage").get(key), (0xFFFFFFFF,))
    return None if mebibytes is None else int(mebibytes) << 20


def memory_used(board: Board) -> int | None:
    """Bytes in use, as sysfs has them: those of the whole GPU."""
    kind = board.smi.member("AmdSmiMemoryType", "VRAM")
    used = number(board.ask("amdsmi_get_gpu_memory_usage", kind))
    return None if used is None else int(used)


SOURCES: dict[str, tuple[Source, ...]] = {
    # Since MI300 the current power, before it a mean. amdsmi_get_power_info fails if the power cap
    # cannot be read (6.x), so it is not the first source.
    "power_w": (
        _metric("current_socket_power", 1.0),
        _metric("average_socket_power", 1.0),
        _member(
            ("current_socket_power", "average_socket_power", "socket_power"),
            1.0,
            "amdsmi_get_power_info",
        ),
    ),
    "energy_j": (_metric("energy_accumulator", _ENERGY_UNIT_J), _energy),
    "utilization": (
        _metric("average_gfx_activity", 0.01, least=0, most=100),
        _member(("gfx_activity",), 0.01, "amdsmi_get_gpu_activity", least=0, most=100),
    ),
    "memory_used_bytes": (vram_used, memory_used),
    "temperature_c": (_metric("temperature_hotspot", 1.0), _temperature("HOTSPOT")),
    "memory_temperature_c": (_metric("temperature_mem", 1.0), _temperature("VRAM")),
    "clock_hz": (_metric("current_gfxclk", 1e6), _clock("GFX")),
    "memory_clock_hz": (_metric("current_uclk", 1e6), _clock("MEM")),
    "throttle": (Board.throttle,),
}
