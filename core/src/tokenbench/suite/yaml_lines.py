"""YAML to plain data, and the line of every path in it. Data only: no tag runs code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import attrs

from tokenbench.api import UsageError

from .shown import shown
from .yaml_scalars import TEXT, loader_class

_MOST_BYTES = 5_000_000
_MOST_NODES = 100_000
_DEEPEST = 50
_MERGE_KEY = "<<"


@attrs.frozen
class Document:
    """A parsed file: its data, and `lines` from a path (``deployments[0].engine``) to a line.

    `text_options`: options of plugins may be strings from a command line, as in a run directory's
    suite.
    """

    file: str
    data: Any
    lines: dict[str, int]
    text_options: bool = False

    def where(self, path: str) -> str:
        """``file:line: path`` of a path, or of the nearest key above it."""
        known = path
        while known and known not in self.lines:
            cut = max(known.rfind("."), known.rfind("["))
            known = known[:cut] if cut > 0 else ""
        place = f"{self.file}:{self.lines.get(known, 1)}" if self.lines else self.file
        return f"{place}: {path}" if path else place


def read(file: Path, what: str = "suite") -> Document:
    """Read a YAML file.

    Args:
        what: the kind of file, for errors.

    Raises:
        UsageError: it is not there, not readable, or not YAML.
    """
    text = _text(file, what)
    try:
        return _json(file, text) if file.suffix == ".json" else _yaml(file, text)
    except RecursionError:
        raise _too_deep(file) from None


def _too_deep(file: Path) -> UsageError:
    return UsageError(
        f"{file}: nested too deeply", hint=f"a file is at most {_DEEPEST} levels deep"
    )


def _text(file: Path, what: str) -> str:
    try:
        with file.open("rb") as stream:
            raw = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"cannot read the {what} {file}: {error.strerror}", hint="check the path"
        ) from None
    if len(raw) > _MOST_BYTES:
        raise UsageError(
            f"cannot read the {what} {file}: more than {_MOST_BYTES:,} bytes", hint="check the path"
        )
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"cannot read the {what} {file}:{line}: not UTF-8 text",
            hint="check the path, or save the file as UTF-8",
        ) from None


def _json(file: Path, text: str) -> Document:
    """The suite of a run directory."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(f"the key {twice!r} is given twice")
        return found

    try:
        data = json.loads(text, object_pairs_hook=unique)
    except ValueError as error:
        raise UsageError(f"{file}: not valid JSON: {error}", hint="check the file") from None
    if _depth(data) > _DEEPEST:
        raise _too_deep(file)
    return Document(str(file), data, {}, text_options=True)


def _depth(data: Any) -> int:
    depth, level = 0, [data]
    while level := [
        item
        for holder in level
        if isinstance(holder, dict | list)
        for item in (holder.values() if isinstance(holder, dict) else holder)
    ]:
        depth += 1
    return depth


def _yaml(file: Path, text: str) -> Document:
    import yaml  # Not needed by runs without a suite file.

    try:
        loader = loader_class()(text)
        try:
            node = loader.get_single_node()
            reader = _Reader(str(file), loader)
            data = None if node is None else reader.value(node, "", 0)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{file}:{mark.line + 1}" if mark else str(file)
        problem = str(error.problem)
        raise UsageError(f"{place}: not valid YAML: {problem}", hint=_hint(problem)) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UsageError(
            f"{file}:{line}: not valid YAML: the character U+{error.character:04X}",
            hint="the file must be text; check the path",
        ) from None
    return Document(str(file), data, reader.lines)


def _hint(problem: str) -> str:
    if "\\t" in problem:
        return "indent with spaces: YAML allows no tabs there"
    if "another document" in problem:
        return "a file is one document: remove the line ---, or write several files"
    return "check indentation and quotes there"


@attrs.define
class _Reader:
    """Nodes to data. Refuses what YAML would read as another value than the user expects."""

    file: str
    loader: Any
    lines: dict[str, int] = attrs.Factory(lambda: {"": 1})
    nodes: int = 0

    def value(self, node: Any, path: str, depth: int) -> Any:
        import yaml

        self.nodes += 1
        self.lines.setdefault(path, node.start_mark.line + 1)
        # Aliases may refer to what holds them, or multiply: a few lines can stand for endless data.
        if self.nodes > _MOST_NODES or depth > _DEEPEST:
            self._refuse(
                node,
                "",
                "not valid YAML: it is too large, or nested too deeply",
                f"a file has at most {_MOST_NODES:,} values, {_DEEPEST} levels deep; does an "
                "alias (*name) refer to a value that contains it?",
            )
        plain = isinstance(node, yaml.ScalarNode) and node.style is None
        implied = self.loader.resolve(type(node), getattr(node, "value", None), (plain, not plain))
        if node.tag not in (implied, TEXT):
            self._refuse(
                node, path, f"not valid YAML: the tag {_tag(node.tag)}", "write the value alone"
            )
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [
                self.value(item, f"{path}[{index}]", depth + 1)
                for index, item in enumerate(node.value)
            ]
        try:
            return self.loader.construct_object(node, deep=True)
        except ValueError:  # A number of thousands of digits.
            self._refuse(
                node, path, f"not valid YAML: {shown(node.value)}", "write a shorter number"
            )

    def _mapping(self, node: Any, path: str, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            inner = f"{path}.{key}" if path else key
            self.lines[inner] = key_node.start_mark.line + 1
            if key in result:
                said = f"not valid YAML: the key {key!r} is given twice"
                self._refuse(key_node, path, said, "keep one of them")
            result[key] = self.value(value_node, inner, depth + 1)
        return result

    def _key(self, node: Any, path: str) -> str:
        if node.id != "scalar" or node.tag != TEXT:
            what = f"the {node.id}" if node.id != "scalar" else f"{node.value or 'null'}"
            self._refuse(
                node,
                path,
                f"expected a string as key, got {what}",
                f'put the key in quotes: "{node.value}"' if node.id == "scalar" else "name the key",
            )
        if not node.value.strip():
            self._refuse(node, path, "expected a string as key, got an empty one", "name the key")
        if node.value == _MERGE_KEY and node.style is None:
            self._refuse(
                node,
                path,
                "the merge key << is not supported",
                "write the keys out, or refer to a whole value with an alias (*name)",
            )
        return str(node.value)

    def _refuse(self, node: Any, path: str, message: str, hint: str) -> NoReturn:
        place = f"{self.file}:{node.start_mark.line + 1}"
        raise UsageError(
            f"{place}: {path}: {message}" if path else f"{place}: {message}", hint=hint
        )


def _tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")
