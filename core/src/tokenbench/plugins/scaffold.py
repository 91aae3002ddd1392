"""``bench plugins new KIND NAME``: a complete package that installs and passes the kit."""

from __future__ import annotations

import ast
import contextlib
import datetime as dt
import keyword
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from string import Template

import attrs

from tokenbench.api import MachineError, UsageError

from .kinds import BY_NAME
from .versions import OURS

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 64
"""Of a name: kind, version and tags around it, a wheel's file name stays far below 255 bytes."""
_YAML_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off"})


@attrs.frozen
class Written:
    """What was written: the folder, and its files."""

    folder: Path
    files: tuple[str, ...]


def write_package(kind: str, name: str, folder: Path | None = None) -> Written:
    """Write the package of a new plugin.

    Args:
        folder: where to; by default a new one named as the distribution.

    Raises:
        UsageError: no such kind, not a name, or the folder is there and not empty.
        MachineError: it cannot be written; nothing is left of it.
    """
    if kind not in BY_NAME:
        raise UsageError(
            f"no kind of plugin is called {kind!r}", hint=f"kinds: {', '.join(BY_NAME)}"
        )
    _check_name(name)
    facts = _facts(kind, name)
    texts = {path: _fill(template, facts) for path, template in _layout(kind, facts).items()}
    for path, text in texts.items():
        if path.endswith("plugin.py") and facts["camel"] in _imported(text):
            raise UsageError(
                f"{name!r} is no name for a plugin: its class would be {facts['camel']}, a class "
                "that it needs itself",
                hint="choose a name that says which one it is",
            )
    target = folder if folder is not None else Path(facts["dist"])
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UsageError(f"{target} is there already", hint="name another with --folder")
        made: list[Path] = []
        with _undone(made):
            for path, text in texts.items():
                _write(target / path, text, made)
    except OSError as error:
        raise MachineError(
            f"cannot write {target}: {error.strerror}", hint="name another folder with --folder"
        ) from error
    return Written(target, tuple(texts))


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name[:_LONGEST]!r} is no name for a plugin",
            hint="lower case letters, digits and dashes",
        )
    if len(name) > _LONGEST:
        raise UsageError(
            f"a name of {len(name)} characters is too long for a plugin",
            hint=f"at most {_LONGEST}",
        )
    if keyword.iskeyword(name) or keyword.iskeyword(name.capitalize()) or name in _YAML_WORDS:
        language = "YAML" if name in _YAML_WORDS else "Python"
        raise UsageError(
            f"{name!r} is no name for a plugin: it is a word of {language}",
            hint="choose a name that says what it is",
        )


def _imported(source: str) -> set[str]:
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in nodes for alias in node.names}


@contextlib.contextmanager
def _undone(made: list[Path]) -> Iterator[None]:
    """What was made goes again where not all could be made."""
    try:
        yield
    except BaseException:
        for path in reversed(made):
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        raise


def _write(file: Path, text: str, made: list[Path]) -> None:
    """Write a new file and the folders above it, noting each."""
    absent = [folder for folder in file.parents if not folder.exists()]
    for folder in reversed(absent):
        folder.mkdir()
        made.append(folder)
    with file.open("x", encoding="utf-8") as out:
        made.append(file)
        out.write(text)


def _facts(kind: str, name: str) -> dict[str, str]:
    module = f"tokenbench_{kind}_{name.replace('-', '_')}"
    return {
        "kind": kind,
        "name": name,
        "dist": f"tokenbench-{kind}-{name}",
        "module": module,
        "camel": "".join(part.capitalize() for part in name.split("-")),
        "upper": name.replace("-", "_").upper(),
        "group": BY_NAME[kind].group,
        "kit": f"{kind.capitalize()}Kit",
        "api": OURS,
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
    }


def _layout(kind: str, facts: dict[str, str]) -> dict[str, str]:
    """Path in the package to the name of its template."""
    own = f"test_{kind}.py"
    source = f"src/{facts['module']}"
    return {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{source}/__init__.py": "__init__.py",
        f"{source}/plugin.py": f"{kind}.py",
        f"{source}/py.typed": "",
        f"tests/test_{facts['name'].replace('-', '_')}.py": own if _exists(own) else "test.py",
    }


def _template(name: str) -> Path:
    return Path(str(files(__package__) / "templates" / f"{name}.tmpl"))


def _exists(name: str) -> bool:
    return _template(name).is_file()


def _fill(template: str, facts: dict[str, str]) -> str:
    if not template:
        return ""
    return Template(_template(template).read_text(encoding="utf-8")).substitute(facts)
