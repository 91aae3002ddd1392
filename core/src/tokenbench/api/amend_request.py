"""What an amendment is asked about."""

from __future__ import annotations

import attrs

from .engine import EngineRequest
from .frozen import FrozenMap


@attrs.frozen(kw_only=True)
class AmendRequest:
    """The input of an amendment: the engine's name and the request its plan was made for.

    `roles`: by the name of an engine, the roles whose processes are its own: those of `engine`, and
    of the engines whose workers it runs.
    """

    engine: str
    request: EngineRequest
    roles: FrozenMap[tuple[str, ...]] = FrozenMap()
