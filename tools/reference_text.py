"""Docstrings and tables as Markdown."""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import Any


def markdown(documented: Any) -> str:
    """The docstring as Markdown: code blocks, tables, sections, roles, double backticks."""
    text = (inspect.getdoc(documented) or "") + "\n"
    text = re.sub(r"(?m)::\n\n((?:    .*\n|\n)+)", _code, text)
    text = re.sub(r"(?m)^=[= ]+=\n((?:.*\n)*?)=[= ]+=(?=\n|$)", _symbols, text)
    section = r"(?m)^(Args|Attributes|Raises|Returns):\n((?:    .*(?:\n|$))+)"
    text = re.sub(section, _arguments, text)
    text = re.sub(r":(?:class|meth|func|data|mod):`[~.]?([^`]+)`", r"`\1`", text)
    return re.sub(r"(?<!`)``(?!`)", "`", text).strip()


def _code(match: re.Match[str]) -> str:
    code = textwrap.dedent(match[1]).strip()
    language = "toml" if code.startswith("[") else "python"
    return f":\n\n```{language}\n{code}\n```\n\n"


def _symbols(match: re.Match[str]) -> str:
    """A simple reStructuredText table of two columns."""
    edge = match[0].index(" ")
    return table(("", ""), [(row[:edge], row[edge:].strip()) for row in match[1].splitlines()])


def _arguments(match: re.Match[str]) -> str:
    """A Google-style section as a list."""
    items = re.sub(r"(?m)^    (\w+): ", r"* `\1`: ", match[2])
    return f"{match[1]}:\n\n" + re.sub(r"(?m)^        ", "  ", items)


def table(head: tuple[str, ...], rows: Any) -> str:
    """A Markdown table; bars in cells are escaped."""
    cells = [head, ["---"] * len(head), *([c.strip().replace("|", "\\|") for c in r] for r in rows)]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)
