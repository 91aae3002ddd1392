"""A comparison as one HTML page: no script, no network, colours of the HTML report."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from html import escape

from tokenbench.api import RunView
from tokenbench.compare.series import Verdict

from .compare_blocks import Block, judged
from .table import printable

_STYLE = """
:root { color-scheme: light dark; --back: #ffffff; --panel: #f4f6f8; --text: #1b1f24;
  --soft: #57606a; --line: #c9d1d9; --warn: #8a4b00; --bad: #a40e26; --good: #116329; }
@media (prefers-color-scheme: dark) { :root { --back: #14181d; --panel: #1d232a; --text: #e6e9ed;
  --soft: #a5b0bb; --line: #3d4753; --warn: #f5c04a; --bad: #ff9a92; --good: #6fd58a; } }
body { margin: 0 auto; max-width: 1200px; padding: 16px 24px 40px; background: var(--back);
  color: var(--text); font: 15px/1.45 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 20px; } h2 { font-size: 17px; margin: 28px 0 6px; overflow-wrap: anywhere; }
p { margin: 4px 0; overflow-wrap: anywhere; } .soft { color: var(--soft); font-size: 13px; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; margin: 8px 0; }
table { border-collapse: collapse; font-size: 13px; width: 100%; }
th, td { padding: 4px 9px; text-align: left; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { background: var(--panel); }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.better { color: var(--good); font-weight: 600; } .worse { color: var(--bad); font-weight: 600; }
.changed, .little { color: var(--warn); font-weight: 600; }
"""
_CLASSES = {
    Verdict.BETTER: "better",
    Verdict.WORSE: "worse",
    Verdict.CHANGED: "changed",
    Verdict.TOO_LITTLE_DATA: "little",
    Verdict.NO_CHANGE: "none",
}


def as_html(parts: Sequence[Block], a: RunView, b: RunView) -> str:
    """The page. A policy in its head allows only its own style."""
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'"
    body = "\n".join((*_verdicts(judged(parts)), *(line for part in parts for line in _part(part))))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{_text(f"{a.id} and {b.id}")}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>Comparison</h1>
{body}
</body>
</html>
"""


def _verdicts(found: Sequence[tuple[str, str, Verdict, str]]) -> Iterator[str]:
    if not found:
        yield "<p>No point of A and B can be compared: there is no verdict.</p>"
        return
    header = ("verdict", "metric", "why", "series")
    rows = (
        f'<tr><td class="{_CLASSES[verdict]}">{_text(verdict)}</td><td>{_text(metric)}</td>'
        f"<td>{_text(text)}</td><td>{_text(series)}</td></tr>"
        for series, metric, verdict, text in found
    )
    yield from _table(_cells("th", header, ()), rows)


def _part(part: Block) -> Iterator[str]:
    if part.heading is not None:
        yield f"<h2>{_text(part.heading)}</h2>"
    for line in part.lines:
        yield f'<p class="soft">{_text(line)}</p>'
    if part.table:
        header, *rows = part.table
        yield from _table(
            _cells("th", header, part.right),
            (f"<tr>{''.join(_cells('td', row, part.right))}</tr>" for row in rows),
        )


def _cells(tag: str, row: Sequence[str], right: Sequence[int]) -> Iterator[str]:
    for index, cell in enumerate(row):
        number = ' class="number"' if index in right else ""
        yield f"<{tag}{number}>{_text(cell)}</{tag}>"


def _table(head: Iterator[str], rows: Iterator[str]) -> Iterator[str]:
    yield f'<div class="scroll"><table><thead><tr>{"".join(head)}</tr></thead><tbody>'
    yield from rows
    yield "</tbody></table></div>"


def _text(text: str) -> str:
    # Half a character, as in a path that is not UTF-8, has no encoding.
    return escape(printable(text).encode(errors="replace").decode())
