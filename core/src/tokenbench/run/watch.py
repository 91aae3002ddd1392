"""What is observed beside a repeat: foreign load, and the engine's counters while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from types import TracebackType

import attrs

from tokenbench.api import BenchError, Counters
from tokenbench.launch.cpu_time import ForeignLoad

from .running_server import RunningServer, Scrape

_SCRAPE_INTERVAL_S = 1.0


@attrs.frozen(kw_only=True)
class Observed:
    """What was observed around and during one repeat.

    `foreign_share`: CPU used by others on the cores of client and local engine, 0 to 1.
    """

    before: Scrape
    after: Scrape
    foreign_share: float | None
    scrapes: Sequence[Counters]

    @property
    def error(self) -> str | None:
        """Why counters could not be read."""
        return self.before.error or self.after.error


class RepeatWatch:
    """Watches one repeat. Use as a context manager around it.

    `foreign_share` and `scrapes` are complete when it ends. Scrapes are taken once a second.
    """

    def __init__(
        self, server: RunningServer, cores: tuple[int, ...], interrupted: Callable[[], bool]
    ) -> None:
        self._server = server
        self._cores = cores
        self._interrupted = interrupted
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._scrape, name="scrapes", daemon=True)
        self._failure: BenchError | None = None
        self.foreign_share: float | None = None
        self.scrapes: list[Counters] = []

    def __enter__(self) -> RepeatWatch:
        self._foreign = ForeignLoad(self._cores)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.foreign_share = self._foreign.share()
        self._end.set()
        # A scrape of a frozen server takes seconds; after an interruption nobody needs it.
        while self._thread.is_alive() and not self._interrupted():
            self._thread.join(0.1)
        if self._failure is not None and error is None:
            raise self._failure

    def _scrape(self) -> None:
        while not self._end.wait(_SCRAPE_INTERVAL_S):
            try:
                counters = self._server.scrape().counters
            except BenchError as failure:
                self._failure = failure
                return
            if counters is not None:
                self.scrapes.append(counters)
