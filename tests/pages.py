"""Pages for authors as a reader follows them: files to write, commands to type, what they print."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import attrs
from wheels import ROOT

FOLLOWED = sorted(p for p in (ROOT / "docs/how-to").glob("*.md") if "(env) $ pip" in p.read_text())
"""How-tos for authors."""
HOWTOS = [page for page in FOLLOWED if "<!-- file:" in page.read_text()]
"""Those that build a package of the examples from nothing."""
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("first-[!r]*.md"))

_FENCE = re.compile(
    r"(?:^`(?P<path>\S+)`:\n\n)?(?:^<!-- file: (?P<file>\S+) -->\n+)?"
    r"^```(?P<language>\w*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@attrs.frozen
class Block:
    """A code block. `path`: where the reader writes it; `file`: the same file in the repository."""

    language: str
    text: str
    path: str | None
    file: str | None


@attrs.frozen
class Command:
    """A command and the lines that the page shows below it."""

    text: str
    shown: tuple[str, ...]


def blocks(page: Path) -> list[Block]:
    """The code blocks of a page, in order."""
    return [
        Block(found["language"], found["text"], found["path"], found["file"])
        for found in _FENCE.finditer(page.read_text())
    ]


def of_howtos(folder: Path) -> bool:
    """Whether a how-to builds this example."""
    return any(f"file: examples/{folder.name}/" in page.read_text() for page in HOWTOS)


def commands(block: Block) -> Iterator[Command]:
    """The commands of a block, which follow the prompt ``(env) $``."""
    if block.language == "console":
        for part in re.split(r"^\(env\) \$ ", block.text, flags=re.MULTILINE)[1:]:
            text, *shown = part.rstrip("\n").split("\n")
            yield Command(text, tuple(shown))


def check_output(done: subprocess.CompletedProcess[str], shown: tuple[str, ...]) -> None:
    """The output contains the lines in this order; `...` matches any text, alone any lines."""
    printed = done.stderr + done.stdout
    output = iter(line.rstrip() for line in printed.splitlines())
    for line in shown:
        if line.strip() == "...":
            continue
        wanted = re.compile(".*".join(re.escape(piece) for piece in line.rstrip().split("...")))
        assert any(wanted.fullmatch(text) for text in output), f"{line!r} is not in\n{printed}"
