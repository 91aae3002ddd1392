"""What a codec declares, checked before anything is sent with it."""

from __future__ import annotations

import typing

from tokenbench.api import Codec
from tokenbench.guard.owner import Owner, wrong
from tokenbench.guard.types import mismatch
from tokenbench.load.framing import FRAMINGS


def check_codec(owner: Owner, codec: Codec) -> None:
    """Raise if an attribute has another type than the API says, or an unknown framing.

    Raises:
        PluginError: it does.
    """
    for name, hint in typing.get_type_hints(Codec).items():
        problem = mismatch(getattr(codec, name, None), hint)
        if problem is not None:
            raise wrong(owner, name, f"is {problem}")
    if codec.framing not in FRAMINGS:
        raise wrong(owner, "framing", f"is {codec.framing!r}, expected {' or '.join(FRAMINGS)}")
