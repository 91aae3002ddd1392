"""Observes foreign load and the engine's counters during a repeat."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from types import TracebackType
from urllib.parse import urlsplit

import attrs

from tokenbench.api import BenchError, Counters
from tokenbench.launch.cpu_time import Foreign, ForeignLoad, outsiders
from tokenbench.launch.ports import listeners, on_this_machine

from .running_server import RunningServer
from .scrape import Scrape

_SCRAPE_INTERVAL_S = 1.0
# Programs that forward a port to a container, whose processes are not their children.
_FORWARDERS = ("docker-proxy", "rootlessport", "conmon")
_HIDDEN_SERVER = (
    "the server runs on this machine in a container or as another user, so its load cannot be "
    "distinguished from that of other programs"
)


@attrs.frozen(kw_only=True)
class Observed:
    """Observations before, during and after one repeat.

    `foreign`: CPU use of other programs on the cores of client and local engine. `not_primed`: what
    the priming of the cache could not put into it.
    """

    before: Scrape
    after: Scrape
    foreign: Foreign
    scrapes: Sequence[Scrape]
    not_primed: str | None = None

    @property
    def counters(self) -> tuple[Counters, ...]:
        """The counters read during the repeat."""
        return tuple(one.counters for one in self.scrapes if one.counters is not None)

    @property
    def error(self) -> str | None:
        """Why counters could not be read."""
        return self.before.error or self.after.error


class RepeatWatch:
    """Watches one repeat. Use as a context manager around it.

    `foreign` and `scrapes` are complete when it ends. Scrapes are taken once a second.
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
        self.foreign = Foreign(None)
        self.scrapes: list[Scrape] = []

    def __enter__(self) -> RepeatWatch:
        own = _server_processes(self._server)
        self._load = None if own is None else ForeignLoad(self._cores, own)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.foreign = self._load.measure() if self._load else Foreign(None, unknown=_HIDDEN_SERVER)
        self._end.set()
        # A scrape of a hung server takes seconds. After an interruption it is not needed.
        while self._thread.is_alive() and not self._interrupted():
            self._thread.join(0.1)
        if self._failure is not None and error is None:
            raise self._failure

    def _scrape(self) -> None:
        while not self._end.wait(_SCRAPE_INTERVAL_S):
            try:
                scrape = self._server.scrape()
            except BenchError as failure:
                self._failure = failure
                return
            if scrape.counters is not None:
                self.scrapes.append(scrape)


def foreign_processes(pids: Collection[int], server: RunningServer) -> tuple[str, ...]:
    """The processes of `pids` that belong neither to this run nor to its server.

    Empty if the server's own processes are not visible.
    """
    own = _server_processes(server)
    if own is None or not pids:
        return ()
    return outsiders(pids, [*own, *server.deployment.pids])


def _server_processes(server: RunningServer) -> Collection[int] | None:
    """The server's processes on this machine that are not descendants of this process; None if they
    are not visible.
    """
    if server.plan.processes:
        return server.deployment.pids
    address = urlsplit(server.url)
    if not on_this_machine(address.hostname or ""):
        return ()
    found = listeners(address.port or (443 if address.scheme == "https" else 80))
    return [pid for pid, name in found.items() if name not in _FORWARDERS] or None
