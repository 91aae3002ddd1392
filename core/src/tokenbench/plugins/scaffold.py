"""``bench plugins new KIND NAME``: writes a complete package that installs and passes the kit."""

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

from tokenbench import __version__
from tokenbench.api import MachineError, UsageError

from .kinds import BY_NAME
from .versions import OURS

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 64
"""Keeps a wheel's file name, with kind, version and tags, below 255 bytes."""
_YAML_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off"})


@attrs.frozen
class WrittenPackage:
    """The folder that was written, and its files."""

    folder: Path
    files: tuple[str, ...]


def write_package(kind: str, name: str, folder: Path | None = None) -> WrittenPackage:
    """Write the package of a new plugin.

    Args:
        folder: where to write it; by default a new folder named like the distribution.

    Raises:
        UsageError: the kind is unknown, the name invalid, or the folder exists and is not empty.
        MachineError: it cannot be written; partially written files are removed.
    """
    if kind not in BY_NAME:
        raise UsageError(f"unknown plugin kind {kind!r}", hint=f"kinds: {', '.join(BY_NAME)}")
    _check_name(name)
    facts = _facts(kind, name)
    texts = {path: _fill(template, facts) for path, template in _layout(kind, facts).items()}
    for path, text in texts.items():
        if path.endswith("plugin.py") and facts["camel"] in _imported(text):
            raise UsageError(
                f"invalid plugin name {name!r}: its class {facts['camel']} would hide an import of "
                "the same name",
                hint="choose a more specific name",
            )
    target = folder if folder is not None else Path(facts["dist"])
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise UsageError(f"{target} already exists", hint="choose another with --folder")
        made: list[Path] = []
        with _rollback(made):
            for path, text in texts.items():
                _write(target / path, text, made)
    except OSError as error:
        raise MachineError(
            f"cannot write {target}: {error.strerror}", hint="choose another folder with --folder"
        ) from error
    return WrittenPackage(target, tuple(texts))


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"invalid plugin name {name[:_LONGEST]!r}",
            hint="use lower case letters, digits and dashes",
        )
    if len(name) > _LONGEST:
        raise UsageError(
            f"invalid plugin name: {len(name)} characters are too long",
            hint=f"use at most {_LONGEST}",
        )
    if keyword.iskeyword(name) or keyword.iskeyword(name.capitalize()) or name in _YAML_WORDS:
        language = "YAML" if name in _YAML_WORDS else "Python"
        raise UsageError(
            f"invalid plugin name {name!r}: reserved in {language}",
            hint="choose another name",
        )


def _imported(source: str) -> set[str]:
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in nodes for alias in node.names}


@contextlib.contextmanager
def _rollback(made: list[Path]) -> Iterator[None]:
    """Remove the files and folders in `made` if the block fails."""
    try:
        yield
    except BaseException:
        for path in reversed(made):
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        raise


def _write(file: Path, text: str, made: list[Path]) -> None:
    """Write a new file and its missing parent folders, and add each to `made`."""
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
        "release": __version__.rpartition(".")[0],
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
    }


def _layout(kind: str, facts: dict[str, str]) -> dict[str, str]:
    """Maps each path of the package to the name of its template."""
    own = f"test_{kind}.py"
    source = f"src/{facts['module']}"
    node = f"{kind}_node.py"
    return {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        f"{source}/__init__.py": "__init__.py",
        f"{source}/plugin.py": f"{kind}.py",
        **({f"{source}/node.py": node} if _exists(node) else {}),
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
