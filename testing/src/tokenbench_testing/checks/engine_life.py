"""Levels 3 and 4: engines with unready, minimal and dead servers, and with the real server."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from tokenbench.api import BenchError, EngineError, FrozenMap
from tokenbench.harness import ControlClient
from tokenbench.harness.servers import launched, real_server
from tokenbench_testing.kit import Subject, check, fail, skip
from tokenbench_testing.samples.launches import server_plan

from .engine import make

_UP_S = 20.0


@contextlib.contextmanager
def _scripted(*script: str) -> Iterator[ControlClient]:
    """A running scripted server, and a client for it."""
    with launched(server_plan(*script)) as (client, _):
        _wait(client)
        yield client


def _wait(client: ControlClient) -> None:
    deadline = time.monotonic() + _UP_S
    while True:
        with contextlib.suppress(ConnectionError, BenchError):
            client.get("/health")
            return
        if time.monotonic() > deadline:
            skip("the scripted server did not start on this machine")
        time.sleep(0.05)


def _methods(subject: Subject) -> dict[str, tuple[Callable[[Any], Any], tuple[type, ...]]]:
    """The methods that query a server, and the types they may return."""
    engine = make(subject)
    none = type(None)
    return {
        "ready": (engine.ready, (bool,)),
        "version": (engine.version, (str, none)),
        "facts": (engine.facts, (FrozenMap,)),
        "quiescent": (engine.quiescent, (bool, none)),
        "reset_cache": (engine.reset_cache, (bool, none)),
    }


@check(3, "engine")
def ready_means_ready(subject: Subject) -> None:
    """For a server that answers 503, `ready` is False (or raises ConnectionError).

    To fix: check the status of the reply, not only that there is one.
    """
    ready = _methods(subject)["ready"][0]
    with _scripted("--never-ready") as client:
        for _ in range(3):
            with contextlib.suppress(ConnectionError, EngineError):
                if ready(client):
                    fail("ready() is True for a server that answers 503")


@check(3, "engine")
def unknown_paths_are_handled(subject: Subject) -> None:
    """For a server without the engine's paths (404, `{}`) the methods return None, empty or False,
    or raise ConnectionError or EngineError.

    To fix: check `reply.status` before you parse `reply.text`.
    """
    with _scripted() as client:
        for name, (method, types) in _methods(subject).items():
            try:
                answer = method(client)
            except (ConnectionError, EngineError):
                continue
            except Exception as error:
                fail(f"{name}() raises {type(error).__name__}: {error}")
            if not isinstance(answer, types):
                fail(f"{name}() returns {answer!r}")


@check(3, "engine")
def dead_servers_are_handled(subject: Subject) -> None:
    """For a dead server every method returns, or raises ConnectionError or EngineError; core then
    reports that the server died.

    To fix: do not catch ConnectionError.
    """
    with _scripted() as client:
        endpoints = client.endpoints
    with contextlib.closing(ControlClient(endpoints, api_key_env=None)) as client:
        for name, (method, _) in _methods(subject).items():
            try:
                method(client)
            except (ConnectionError, EngineError):
                continue
            except Exception as error:
                fail(f"{name}() raises {type(error).__name__} for a dead server: {error}")


@check(4, "engine")
def the_real_server_serves(subject: Subject) -> None:
    """Started with the author's real model, the server generates, reports its version, counts
    generated tokens if it declares counters, and leaves no process after stopping twice.

    To fix: run it with `bench run` and read the server's log.
    """
    model = subject.want("real", "the name of an installed model that it can run on this machine")
    with real_server(subject.name, subject.given, model) as server:
        port = int(server.url.rpartition(":")[2].partition("/")[0])
        counters = server.scrape().counters
    server.stop()
    _check_free(port)
    if server.version is None:
        fail("the running server reports no version")
    counted = None if counters is None else counters.generated_tokens
    if subject.spec.capabilities.counters and not counted:
        fail(f"after a generation its counters report {counted} generated tokens")


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            fail(f"port {port} is still in use after the server was stopped")
