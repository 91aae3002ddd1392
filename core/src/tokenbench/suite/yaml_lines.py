"""YAML to plain data, and the line of every path in it. Data only: no tag runs code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs

from tokenbench.api import UsageError

_MOST_NODES = 100_000
_DEEPEST = 50


@attrs.frozen
class Document:
    """A parsed file: its data, and `lines` from a path (``deployments[0].engine``) to a line."""

    file: str
    data: Any
    lines: dict[str, int]

    def where(self, path: str) -> str:
        """``file:line: path`` of a path, or of the nearest thing above it."""
        known = path
        while known and known not in self.lines:
            cut = max(known.rfind("."), known.rfind("["))
            known = known[:cut] if cut > 0 else ""
        line = self.lines.get(known, 1)
        return f"{self.file}:{line}: {path}" if path else f"{self.file}:{line}"


def read(file: Path) -> Document:
    """Read a YAML file.

    Raises:
        UsageError: it is not there, not readable, or not YAML.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UsageError(f"cannot read the suite {file}: {reason}", hint="check the path") from None
    if file.suffix == ".json":  # As a run directory has it. YAML 1.1 would read 1e-05 as text.
        try:
            return Document(str(file), json.loads(text), {})
        except ValueError as error:
            raise UsageError(f"{file}: not valid JSON: {error}", hint="check the file") from None
    import yaml  # Not needed by runs without a suite file.

    try:
        loader = yaml.SafeLoader(text)
        try:
            node = loader.get_single_node()
            lines: dict[str, int] = {}
            data = None if node is None else _convert(loader, node, "", lines)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{file}:{mark.line + 1}" if mark else str(file)
        raise UsageError(
            f"{place}: not valid YAML: {error.problem}",
            hint="check indentation and quotes there",
        ) from None
    except (yaml.YAMLError, ValueError) as error:
        # ValueError: a date that there is not, or a number of thousands of digits.
        raise UsageError(f"{file}: not valid YAML: {error}", hint="check the file") from None
    return Document(str(file), data, lines)


def _convert(loader: Any, node: Any, path: str, lines: dict[str, int]) -> Any:
    import yaml

    # Aliases may refer to what holds them, or multiply: a few lines can stand for endless data.
    if len(lines) > _MOST_NODES or path.count(".") + path.count("[") > _DEEPEST:
        raise yaml.MarkedYAMLError(problem="it is too large", problem_mark=node.start_mark)
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            inner = f"{path}.{key}" if path else str(key)
            lines[inner] = key_node.start_mark.line + 1
            if key in result:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key!r} stands twice",
                    problem_mark=key_node.start_mark,
                )
            result[key] = _convert(loader, value_node, inner, lines)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [
            _convert(loader, item, f"{path}[{index}]", lines)
            for index, item in enumerate(node.value)
        ]
    return loader.construct_object(node, deep=True)
