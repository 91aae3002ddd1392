"""Untrusted text in Markdown."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence

_ESCAPES = re.compile(r"(?:\x1b\[|\x9b)[0-9;?]*[A-Za-z]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_MARKUP = re.compile(r"([\\`*_{}\[\]()#~|!$])")


def escape(text: str) -> str:
    """Text without markup of Markdown and HTML, on one line. An ``@`` mentions nobody."""
    plain = _CONTROL.sub(" ", _ESCAPES.sub("", text)).strip()
    safe = _MARKUP.sub(r"\\\1", html.escape(plain, quote=False))
    return safe.replace("@", "@<!-- -->").encode(errors="replace").decode()


def table(header: Sequence[str], rows: Iterable[Sequence[str]], text_columns: int) -> Iterator[str]:
    """Lines of a table. The cells are escaped already; the first `text_columns` and the last column
    are aligned left, the others right.
    """
    last = len(header) - 1
    marks = ["---" if i < text_columns or i == last else "---:" for i in range(len(header))]
    for cells in (header, marks, *rows):
        yield f"| {' | '.join(cells)} |"
