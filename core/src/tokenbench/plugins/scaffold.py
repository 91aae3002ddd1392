"""``bench plugins new KIND NAME``: a complete package that installs and passes the kit."""

from __future__ import annotations

import datetime as dt
import re
from importlib.resources import files
from pathlib import Path
from string import Template

import attrs

from tokenbench.api import MachineError, UsageError

from .kinds import BY_NAME
from .versions import OURS

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


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
        MachineError: it cannot be written.
    """
    if kind not in BY_NAME:
        raise UsageError(
            f"no kind of plugin is called {kind!r}", hint=f"kinds: {', '.join(BY_NAME)}"
        )
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name for a plugin", hint="lower case letters, digits and dashes"
        )
    facts = _facts(kind, name)
    target = folder if folder is not None else Path(facts["dist"])
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is there already", hint="name another with --folder")
    texts = {path: _fill(template, facts) for path, template in _layout(kind, facts).items()}
    try:
        for path, text in texts.items():
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise MachineError(f"cannot write {target}: {error.strerror}", hint="check it") from error
    return Written(target, tuple(texts))


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
