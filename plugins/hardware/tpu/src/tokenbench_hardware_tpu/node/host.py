"""Files of /sys, /dev and /proc on this host."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# PROC_PID_INIT_INO (Linux, include/linux/proc_ns.h): the inode of the initial pid namespace.
_INITIAL_PIDS = "pid:[4026531836]"
# GT/s per lane in /sys/bus/pci/devices/*/current_link_speed, by PCIe generation.
_GT_S = ("2.5", "5.0", "8.0", "16.0", "32.0", "64.0")


def root(options: dict[str, Any], name: str) -> Path:
    """Where /sys, /dev or /proc is."""
    return Path(str(options.get(name, "/" + name)))


def text(path: Path) -> str | None:
    """A file without surrounding blanks; None if it cannot be read or is empty."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def number(path: Path) -> int | None:
    """A file with one number; None if it is not there, or negative, which means unknown."""
    content = text(path) or ""
    return int(content) if content.isdecimal() else None


def target(link: Path) -> str | None:
    """What a symbolic link points to."""
    try:
        return os.readlink(link)
    except OSError:
        return None


def entries(folder: Path) -> list[Path]:
    """What is in a folder, sorted; nothing if it cannot be read."""
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def pcie(folder: Path) -> dict[str, int]:
    """The PCIe link of a device, by its folder in /sys, in the fields of PcieLink."""
    link = {}
    for prefix, kind in (("", "current"), ("max_", "max")):
        speed = (text(folder / f"{kind}_link_speed") or "").split(" ")[0]
        if speed in _GT_S:
            link[prefix + "generation"] = _GT_S.index(speed) + 1
        width = number(folder / f"{kind}_link_width")
        if width:
            link[prefix + "width"] = width
    return link


class Users:
    """Processes that have device nodes open. `complete`: no other process can have one open.

    That is known only to a user who may look at all processes, outside of containers.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self._by_node: dict[str, set[int]] = {}
        proc = root(options, "proc")
        self.complete = target(proc / "self/ns/pid") == _INITIAL_PIDS
        for process in entries(proc):
            if process.name.isdecimal():
                self._look(process)

    def pids(self, nodes: list[str]) -> list[int] | None:
        """Processes with any of these nodes open; None if there may be others."""
        found: set[int] = set()
        for node in nodes:
            found |= self._by_node.get(node, set())
        return sorted(found) if found or self.complete else None

    def _look(self, process: Path) -> None:
        try:
            for file in _open_files(process / "fd"):
                if re.fullmatch(r"/dev/(accel|vfio/)\d+", file):
                    self._by_node.setdefault(file, set()).add(int(process.name))
        except PermissionError:
            self.complete = False
        except OSError:  # It has ended.
            pass


def _open_files(folder: Path) -> Iterator[str]:
    for link in list(folder.iterdir()):
        try:
            yield os.readlink(link)
        except FileNotFoundError:  # Closed meanwhile.
            continue
