"""Where the user wrote each key of a suite: a line of a file, or a flag."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping

import attrs

from tokenbench.api import FrozenMap, UsageError

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
        flag = self._flag(path)
        if flag is not None:
            return flag
        return path if self.document is None else self.document.where(path)

    def _flag(self, path: str) -> str | None:
        # `--workload` sets the whole list, `--engine` those of all deployments.
        for key in (path, path.partition("[")[0], re.sub(r"^deployments\[\d+\]", _FIRST, path)):
            if key in self.flags:
                return self.flags[key]
        return None

    def of_options(self, kind: str, name: str, path: str) -> Callable[[str], str]:
        """The place of each option of a plugin, and with an empty name that of all: its path in
        the file, else its kind and name.
        """
        document = self.document
        if document is None or self._flag(path) is not None:
            return lambda key: f"{kind} {name}.{key}" if key else f"{kind} {name}"
        inside = f"{path}.{name}" if f"{path}.{name}" in document.lines else path
        return lambda key: document.where(f"{inside}.{key}" if key else inside)

    @contextlib.contextmanager
    def told(self, path: str, at: Callable[[str, str | None], str] | None = None) -> Iterator[None]:
        """Add the place of `path` to a UsageError that has none.

        Args:
            at: the path of the key that an error names (`UsageError.key`), and of its `pool`.
        """
        try:
            yield
        except UsageError as error:
            if self._has_place(error.message):
                raise
            if at is not None and error.key is not None:
                path = at(error.key, error.pool)
            raise UsageError(
                f"{self(path)}: {error.message}", hint=error.hint, log=error.log
            ) from error.__cause__

    def _has_place(self, message: str) -> bool:
        """Whether a message begins with a place in this suite, which is then the more exact one."""
        known = [f"{flag}:" for flag in self.flags.values()]
        if self.document is not None:
            known.append(f"{self.document.file}:")
        return message.startswith((*known, _DEPLOYMENTS))


_DEPLOYMENTS = "deployments["
_FIRST = f"{_DEPLOYMENTS}0]"
