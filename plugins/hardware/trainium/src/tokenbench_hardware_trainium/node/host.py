"""Files of /sys and /proc, and Neuron's tools on this host."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

# Where the package aws-neuronx-tools installs its programs (AWS Neuron documentation, "Neuron
# Monitor User Guide", read 2026-11). Only login shells have it in PATH.
TOOLS = "/opt/aws/neuron/bin"
# PROC_PID_INIT_INO (Linux, include/linux/proc_ns.h): the inode of the initial pid namespace.
_INITIAL_PIDS = "pid:[4026531836]"
# Transfers per lane of each PCIe generation, as /sys/bus/pci/devices/*/current_link_speed has them.
_GENERATIONS = {"2.5": 1, "5.0": 2, "8.0": 3, "16.0": 4, "32.0": 5, "64.0": 6}


class Failed(Exception):
    """A program failed. The text says why."""


def text(path: Path) -> str | None:
    """A file without surrounding blanks; None if it cannot be read or is empty."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def number(path: Path) -> int | None:
    """A file with one number."""
    try:
        return int(text(path) or "")
    except ValueError:
        return None


def folders(parent: Path, name: str) -> dict[int, Path]:
    """Sub-folders called `name` and a number, by that number."""
    try:
        entries = list(parent.iterdir())
    except OSError:
        return {}
    matches = ((re.fullmatch(name + r"(\d+)", entry.name), entry) for entry in entries)
    return {int(match.group(1)): entry for match, entry in matches if match}


def sysfs(options: dict[str, Any]) -> Path:
    """The root of /sys."""
    return Path(str(options.get("sys", "/sys")))


def neuron_folders(options: dict[str, Any]) -> dict[int, Path]:
    """The driver's folder of each device (AWS Neuron documentation, Neuron Sysfs, read 2026-11)."""
    return folders(sysfs(options) / "devices/virtual/neuron_device", "neuron")


def pcie(options: dict[str, Any], address: str) -> dict[str, int]:
    """A device's PCIe link, in the fields of PcieLink."""
    folder = sysfs(options) / "bus/pci/devices" / address
    found = {}
    for prefix, file in (("", "current"), ("max_", "max")):
        speed = (text(folder / f"{file}_link_speed") or "").split(" ")[0]
        width = number(folder / f"{file}_link_width")
        if speed in _GENERATIONS:
            found[prefix + "generation"] = _GENERATIONS[speed]
        if width:
            found[prefix + "width"] = width
    return found


def sees_all_pids(options: dict[str, Any]) -> bool:
    """Whether this process numbers processes as the driver does: by the host's pid namespace."""
    try:
        # Path.readlink is newer than Python 3.8.
        link = os.readlink(Path(str(options.get("proc", "/proc"))) / "self/ns/pid")
    except OSError:
        return False
    return link == _INITIAL_PIDS


def tool(options: dict[str, Any], name: str) -> str | None:
    """The path of one of Neuron's programs; None if it is not installed."""
    found = shutil.which(name)
    if found is None:
        path = Path(str(options.get("tools", TOOLS))) / name
        found = str(path) if os.access(path, os.X_OK) else None
    return found


def run(argv: list[str], timeout_s: float) -> str:
    """What a program prints.

    Raises:
        Failed: it cannot be started, does not end in time, or ends with another code than 0.
    """
    name = Path(argv[0]).name
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{name} did not end within {timeout_s:g} s") from None
    except OSError as error:
        raise Failed(f"{name} cannot be started: {error.strerror}") from error
    if done.returncode != 0:
        said = last_line(done.stderr) or last_line(done.stdout)
        raise Failed(
            f"{name} failed with {ending(done.returncode)}" + (f": {said}" if said else "")
        )
    return done.stdout.decode(errors="replace")


def ending(code: int) -> str:
    """How a program ended."""
    return f"signal {-code}" if code < 0 else f"code {code}"


def last_line(output: bytes) -> str:
    """The last line with text, shortened."""
    lines = [line.strip() for line in output.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""
