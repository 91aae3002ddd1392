"""Where the user wrote each key of a suite: a line of a file, or a flag."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from tokenbench.api import FrozenMap

from .yaml_lines import Document


@attrs.frozen
class Places:
    """The place of each key, for error messages.

    `flags` maps keys (``load.rate``) to the flags that set them; they override the file.
    """

    document: Document | None = None
    flags: Mapping[str, str] = FrozenMap()

    def __call__(self, path: str) -> str:
        """``--rate``, ``suite.yaml:12: load.rate``, or the path itself."""
        if path in self.flags:
            return self.flags[path]
        return path if self.document is None else self.document.where(path)

    def of_plugin(self, kind: str, name: str, path: str) -> str:
        """The place of a plugin's options: its path in the file, else its kind and name."""
        key = path.partition("[")[0]
        if self.document is None or key in self.flags:
            return f"{kind} {name}"
        inside = f"{path}.{name}"
        return self.document.where(inside if inside in self.document.lines else path)
