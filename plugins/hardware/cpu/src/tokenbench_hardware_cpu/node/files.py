"""Small files of /sys."""

from __future__ import annotations

from pathlib import Path


def text(file: Path) -> str:
    """The file's text, stripped; empty if it cannot be read."""
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""


def number(file: Path) -> int | None:
    """The file's number; None if it cannot be read."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def last_number(name: str) -> int:
    """The number at the end of a name (cpu12, policy0), to sort by; -1 if there is none."""
    digits = name[len(name.rstrip("0123456789")) :]
    return int(digits) if digits else -1
