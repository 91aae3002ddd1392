"""Objects that the parts of a phase share."""

from __future__ import annotations

import attrs

from tokenbench.api import Codec

from .event_loop import EventLoop
from .pool import ConnectionPool
from .recorder import Recorder
from .session_file import SessionReader
from .target_url import TargetUrl
from .timers import Timers


@attrs.frozen(kw_only=True)
class PhaseResources:
    """What a scheduler needs for one phase."""

    codec: Codec
    target_url: TargetUrl
    pool: ConnectionPool
    recorder: Recorder
    sessions: SessionReader
    timers: Timers
    loop: EventLoop
