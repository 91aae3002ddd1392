"""Write docs/reference from docstrings and specs: ``python tools/reference.py [--check]``.

One page a file of `tokenbench.api` (so a name is found where its source is), one page a first-party
plugin (what ``bench plugins show`` prints), and their index. `--check` writes nothing and fails
where a page is out of date.
"""

from __future__ import annotations

import enum
import inspect
import re
import sys
import textwrap
from abc import ABC
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import attrs
import msgspec

from tokenbench import api
from tokenbench.api import hookspecs
from tokenbench.plugins.page import page
from tokenbench.plugins.registry import PluginRegistry

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"
_NOTE = "<!-- Made by tools/reference.py from docstrings; change those. -->\n\n"


def main() -> None:
    """Write the pages, or see that they are up to date."""
    pages = all_pages()
    stale = [path for path, text in pages.items() if not path.is_file() or path.read_text() != text]
    known = {*(REFERENCE / "api").glob("*.md"), *(REFERENCE / "plugins").glob("*.md")}
    gone = known - set(pages)
    if "--check" in sys.argv:
        if stale or gone:
            sys.exit(f"out of date: {', '.join(p.name for p in [*stale, *gone])}; make reference")
        return
    for path in gone:
        path.unlink()
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(pages[path])
    print(f"{len(stale)} of {len(pages)} pages written")


def all_pages() -> dict[Path, str]:
    """Every page: its path and text."""
    pages = {}
    for module, names in sorted(_names_by_module().items()):
        pages[REFERENCE / "api" / f"{module}.md"] = _module_page(module, names)
    pages[REFERENCE / "hooks.md"] = _hooks_page()
    host = PluginRegistry()
    ours = [c for c in host.candidates if c.distribution.partition("-")[0] == "tokenbench"]
    listed = [c for c in ours if c.distribution != "tokenbench-test-plugins"]
    for candidate in listed:
        text = page(candidate, host.spec(candidate.kind, candidate.name))
        pages[REFERENCE / "plugins" / f"{candidate.kind}-{candidate.name}.md"] = _NOTE + text
    pages[REFERENCE / "index.md"] = _index(pages)
    return pages


def hooks() -> list[str]:
    """Names of all hooks, in the order of their specification."""
    return [name for name in vars(hookspecs) if name.startswith("bench_")]


def members() -> list[str]:
    """Every member of the protocols and base classes: what a plugin may write, or be given."""
    found = []
    for name in api.__all__:
        value = getattr(api, name)
        if inspect.isclass(value) and (_is_protocol(value) or ABC in value.__mro__):
            found += [f"{name}.{member}" for member, _ in _members(value)]
    return found


def _is_protocol(value: type[Any]) -> bool:
    return bool(getattr(value, "_is_protocol", False))


def _names_by_module() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name in api.__all__:
        value = getattr(api, name)
        module = inspect.getmodule(value) if not isinstance(value, str | int | tuple) else None
        home = module.__name__ if isinstance(module, ModuleType) else api.__name__
        if home.startswith("tokenbench.api.") and not name.startswith("bench_"):
            found.setdefault(home.rpartition(".")[2], []).append(name)
    return found


def _module_page(module: str, names: list[str]) -> str:
    doc = inspect.getdoc(sys.modules[f"tokenbench.api.{module}"]) or ""
    order = _in_source_order(module, names)
    parts = [f"# tokenbench.api: {module}", _markdown(doc)]
    for name in order:
        parts += list(_section(name, getattr(api, name)))
    return _NOTE + "\n\n".join(parts) + "\n"


def _in_source_order(module: str, names: list[str]) -> list[str]:
    source = inspect.getsource(sys.modules[f"tokenbench.api.{module}"])

    def place(name: str) -> int:
        match = re.search(rf"^(?:class |def |{name} = |@).*?\b{name}\b", source, re.MULTILINE)
        return match.start() if match else len(source)

    return sorted(names, key=place)


def _section(name: str, value: Any) -> Iterator[str]:
    if inspect.isclass(value):
        yield f"## {name}"
        yield _markdown(inspect.getdoc(value) or "")
        if issubclass(value, enum.Enum):
            yield "\n".join(f"* `{member.value}`" for member in value)
        elif attrs.has(value) or issubclass(value, msgspec.Struct):
            yield _fields(value)
        for member, function in _members(value):
            yield f"### {name}.{member}"
            yield f"```py\n{_signature(member, function)}\n```"
            yield _markdown(inspect.getdoc(function) or "")
    elif isinstance(value, FunctionType):
        yield f"## {name}"
        yield f"```py\n{_signature(name, value)}\n```"
        yield _markdown(inspect.getdoc(value) or "")


def _members(cls: type[Any]) -> list[tuple[str, Any]]:
    """Public methods and properties that the class itself defines."""
    found = []
    for name, value in vars(cls).items():
        plain = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if name.startswith("_") or not isinstance(plain, FunctionType | property):
            continue
        found.append((name, plain))
    return found


def _signature(name: str, value: Any) -> str:
    if isinstance(value, property):
        returns = inspect.signature(value.fget).return_annotation if value.fget else "Any"
        return f"{name}: {str(returns).strip(chr(39))}  # property"
    try:
        return name + re.sub(r"'([^',]*(?:, [^',]*)*)'", r"\1", str(inspect.signature(value)))
    except ValueError:
        return name


def _fields(cls: type[Any]) -> str:
    lines = ["| field | type | default |", "|---|---|---|"]
    if attrs.has(cls):
        rows: list[tuple[str, str, Any, Any]] = [
            (f.name, _annotation(cls, f.name), f.default, attrs.NOTHING) for f in attrs.fields(cls)
        ]
    else:
        rows = [
            (f.name, cls.__annotations__.get(f.name, "str"), f.default, msgspec.NODEFAULT)
            for f in msgspec.structs.fields(cls)
        ]
    for name, kind, default, nothing in rows:
        shown = "required" if default is nothing else f"`{_default(default)}`"
        lines.append(f"| `{name}` | `{_escape(kind)}` | {shown} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def _annotation(cls: type[Any], field: str) -> str:
    """As the source has it, whether or not somebody has resolved it meanwhile."""
    for base in cls.__mro__:
        found = inspect.get_annotations(base).get(field)
        if found is not None:
            return found if isinstance(found, str) else getattr(found, "__name__", str(found))
    return "Any"


def _default(value: object) -> str:
    text = _escape(repr(value))
    return text if len(text) <= 60 else f"{type(value).__name__}(...)"


def _escape(text: str) -> str:
    return text.replace("|", "\\|")


def _hooks_page() -> str:
    parts = ["# Hooks", _markdown(inspect.getdoc(hookspecs) or "")]
    for name in hooks():
        function = getattr(hookspecs, name)
        parts += [f"## {name}", f"```py\n{_signature(name, function)}\n```"]
        parts.append(_markdown(inspect.getdoc(function) or ""))
        for cls in (hookspecs.AmendRequest,) if "amend" in name else ():
            parts += [f"### {cls.__name__}", _markdown(inspect.getdoc(cls) or ""), _fields(cls)]
    return _NOTE + "\n\n".join(parts) + "\n"


def _markdown(doc: str) -> str:
    """A docstring's few marks as Markdown: blocks, tables, arguments, roles, double backticks."""
    lines: list[str] = []
    block: list[str] | None = None
    for line in [*doc.splitlines(), None]:
        if block is not None:
            if line is not None and (not line.strip() or line.startswith("    ")):
                block.append(line)
                continue
            code = textwrap.dedent("\n".join(block)).strip("\n")
            lines += ["```python", code, "```", ""]
            block = None
        if line is None:
            break
        if line.endswith("::"):
            lines += [line[:-1], ""]
            block = []
        else:
            lines.append(line)
    text = "\n".join(lines)
    text = re.sub(r"(?m)^=[= ]+=\n(?:.*\n)*?=[= ]+=(?=\n|$)", _table, text)
    text = re.sub(r"(?m)^(Args|Raises|Returns):\n((?:    .*(?:\n|$))+)", _arguments, text)
    text = re.sub(r":(?:class|meth|func):`~?([^`]+)`", r"`\1`", text)
    return re.sub(r"(?<!`)``(?!`)", "`", text).strip()


def _arguments(match: re.Match[str]) -> str:
    """A Google-style section as a list."""
    items = re.sub(r"(?m)^    (\w+): ", r"* `\1`: ", match[2])
    return f"{match[1]}:\n\n" + re.sub(r"(?m)^        ", "  ", items)


def _table(match: re.Match[str]) -> str:
    """A simple reStructuredText table of two columns."""
    rows = match[0].splitlines()
    edge = rows[0].index(" ")
    cells = [(row[:edge].strip(), row[edge:].strip()) for row in rows[1:-1]]
    lines = ["| | |", "|---|---|", *(f"| {_escape(a)} | {_escape(b)} |" for a, b in cells)]
    return "\n".join(lines)


def _index(pages: dict[Path, str]) -> str:
    parts = ["# Reference", ""]
    parts += ["* [suite.md](suite.md): every key of a suite file"]
    parts += ["* [run-directory.md](run-directory.md): what a run leaves"]
    parts += ["* [exit-codes.md](exit-codes.md)", "* [hooks.md](hooks.md): every hook"]
    for title, folder in (("The API", "api"), ("Plugins", "plugins")):
        parts += ["", f"## {title}", ""]
        for path in pages:
            if path.parent.name == folder:
                parts.append(f"* [{path.stem}]({folder}/{path.name})")
    return _NOTE + "\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
