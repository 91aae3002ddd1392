"""AMD GPUs of a host, read through amdsmi: the part of the plugin that runs there.

Python 3.8, the standard library, and the host's own amdsmi (see `binding`).
"""

from __future__ import annotations

from typing import Any

from .binding import Absent, QueryError, Smi, open_smi, text
from .devices import Place, describe, leaders, pids, places
from .readings import OF_THE_BOARD, SOURCES, Board

# Options of amd-smi, its command reference in ROCm/amdsmi, docs/how-to (read 2026-11).
FIXES = {
    "power_limit_w": "amd-smi set --gpu {index} --power-cap {default_power_limit_w:.0f}",
    "clocks_locked": "amd-smi reset --gpu {index} --clocks",
}

_PIDS_EVERY = 8  # samples: two seconds at four samples a second


def probe(options: dict[str, Any]) -> dict[str, Any]:
    """The GPUs and partitions of this host; without any, `reason` and `hint`. Never raises."""
    try:
        smi = open_smi()
    except Absent as absent:
        return {"devices": [], "reason": absent.reason, "hint": absent.hint}
    try:
        return _probe(smi)
    except QueryError as error:
        return _none(f"amdsmi does not list the GPUs ({error.reason})")
    except Exception as error:
        return _none(f"unexpected answer of amdsmi ({error!r})")
    finally:
        smi.close()


def sampler(options: dict[str, Any], devices: list[int]) -> Sampler | None:
    """A sampler of these devices, given by index; None without amdsmi."""
    try:
        smi = open_smi()
    except Absent:
        return None
    return Sampler(smi, devices)


class Sampler:
    """Reads each device and each field separately: a failing one does not affect others."""

    def __init__(self, smi: Smi, devices: list[int]) -> None:
        self._smi = smi
        self._turn = 0
        self._pids: dict[int, list[int] | None] = {}
        try:
            found = {place.index: place for place in places(smi)}
        except QueryError:
            found = {}
        wanted = [found[index] for index in devices if index in found]
        self.boards = _boards(smi, wanted, [index for index in devices if index not in found])
        self.boards.sort(key=lambda board: devices.index(board.index))

    def sample(self) -> list[dict[str, Any]]:
        """One reading of each device."""
        rows = []
        for position, board in enumerate(self.boards):
            row = board.read()
            if "lost" not in row:
                # This takes longer than all other readings together: each device has its turn.
                if position % _PIDS_EVERY == self._turn:
                    self._pids[board.index] = pids(self._smi, board.handle)
                if self._pids.get(board.index) is not None:
                    row["pids"] = self._pids[board.index]
            rows.append(row)
        self._turn = (self._turn + 1) % _PIDS_EVERY
        return rows

    def close(self) -> None:
        """Release the library. May be called twice."""
        self._smi.close()


def _boards(smi: Smi, found: list[Place], missing: list[int]) -> list[Board]:
    first = leaders(found)
    boards = [Board(smi, p.index, p.handle, leads=p.index in first) for p in found]
    return boards + [Board(smi, index, None) for index in missing]


def _none(reason: str) -> dict[str, Any]:
    return {"devices": [], "reason": reason, "hint": "check the GPUs with amd-smi list"}


def _probe(smi: Smi) -> dict[str, Any]:
    found = places(smi)
    first = leaders(found)
    counts: dict[str, int] = {}
    for place in found:
        counts[place.board] = counts.get(place.board, 0) + 1
    facts = _facts(smi)
    devices, working = [], []
    boards = {board.index: board for board in _boards(smi, found, [])}
    for place in found:
        board = boards[place.index]
        row = board.read()
        if "lost" in row:
            facts[f"device {place.index}"] = f"excluded: {row['lost']}"
            continue
        divided = counts[place.board] > 1
        devices.append(describe(board, place, divided=divided))
        working.append(board)
    if not devices:
        lost = "; ".join(f"{key} {why}" for key, why in facts.items() if key.startswith("device "))
        why = f"the driver amdgpu has no working GPU ({lost or 'it has none'})"
        return {**_none(why), "facts": facts}
    return {
        "devices": devices,
        "notes": _notes(working, first),
        "facts": facts,
        "fixes": FIXES,
    }


def _facts(smi: Smi) -> dict[str, str]:
    found = {"amdsmi": text(getattr(smi.library, "__version__", None))}
    library = smi.table("amdsmi_get_lib_version")
    if library:
        parts = [str(library[key]) for key in ("major", "minor", "release") if key in library]
        found["libamd_smi"] = ".".join(parts)
    rocm = smi.get("amdsmi_get_rocm_version")
    if isinstance(rocm, tuple) and rocm and rocm[0]:
        found["rocm"] = text(rocm[-1])
    return {key: value for key, value in found.items() if value}


def _notes(boards: list[Board], first: set[int]) -> dict[str, str]:
    """Why fields are not measured, and on which devices if not on all."""
    notes: dict[str, list[str]] = {}
    for field in SOURCES:
        reasons: dict[str, list[int]] = {}
        for board in boards:
            if field in board.refused:
                reasons.setdefault(board.refused[field], []).append(board.index)
        for reason, indices in reasons.items():
            where = "" if len(indices) == len(boards) else f"device {_list(indices)}: "
            notes.setdefault(field, []).append(f"{where}amdsmi: {reason}")
    others = [board.index for board in boards if board.index not in first]
    for field in OF_THE_BOARD if others else ():
        notes.setdefault(field, []).append(
            f"device {_list(others)}: the first partition of each GPU reports that of the whole GPU"
        )
    return {field: "; ".join(whys) for field, whys in notes.items()}


def _list(indices: list[int]) -> str:
    return ", ".join(map(str, indices))
