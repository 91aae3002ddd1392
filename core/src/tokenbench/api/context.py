"""What core gives a plugin besides its options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import attrs

from .errors import PluginError
from .frozen import FrozenMap

if TYPE_CHECKING:
    from .engine import Engine
    from .workload import Workload

_NONE: Mapping[str, Any] = FrozenMap()


class EngineByName(Protocol):
    """Returns another engine, by name."""

    def __call__(self, name: str, options: Mapping[str, Any] = _NONE, /) -> Engine:
        """The engine of that name, with options by name; the same object for the same options.

        Raises:
            PluginError: there is none.
            UsageError: it does not take the options.
        """


def _no_engine(name: str, options: Mapping[str, Any] = _NONE, /) -> Engine:
    raise PluginError(
        f"a factory asked for the engine {name!r} where no other plugin is available",
        hint="worker processes (for codecs and evals) and unit tests have no other plugins",
    )


@attrs.frozen(kw_only=True)
class PluginContext:
    """What a factory gets besides the plugin's options.

    `engine` gives another engine by name, so that an orchestrator can wrap its workers without
    importing it. Worker processes, which create codecs and evals, and ``PluginContext()`` in a unit
    test have no other plugins: there it raises a PluginError. `parts`: the workloads that a
    workload is composed of, as its spec names them.
    """

    engine: EngineByName = _no_engine
    parts: tuple[Workload, ...] = ()
