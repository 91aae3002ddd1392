"""Which processes on this machine are the server's."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from types import SimpleNamespace
from typing import Any

import pytest

from tokenbench.api import Counters
from tokenbench.run import watch
from tokenbench.run.scrape import Scrape


def _server(url: str, *, processes: tuple[str, ...] = ()) -> Any:
    return SimpleNamespace(
        url=url,
        plan=SimpleNamespace(processes=processes),
        scrape=lambda: Scrape(counters=Counters()),
        deployment=SimpleNamespace(pids=[]),
    )


def _foreign(server: Any) -> Any:
    with watch.RepeatWatch(server, tuple(os.sched_getaffinity(0)), lambda: False) as watched:
        time.sleep(0.1)  # CPU time is counted in ticks of 10 ms.
    return watched.foreign


def test_a_local_server_is_known_by_its_port() -> None:
    """Its processes are not foreign."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert watch._server_processes(_server(f"http://localhost:{port}/v1")) == [os.getpid()]
        assert _foreign(_server(f"http://127.0.0.1:{port}")).unknown is None


def test_a_local_server_that_is_not_visible_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container, or another user's: nothing is called foreign that may be the server."""
    monkeypatch.setattr(watch, "listeners", lambda port: {7: "docker-proxy"})
    found = _foreign(_server("http://127.0.0.1:8000"))
    assert found.share is None
    assert "in a container or as another user" in found.unknown
    monkeypatch.setattr(watch, "listeners", lambda port: {})
    assert _foreign(_server("http://127.0.0.1:8000")).share is None


@pytest.mark.parametrize(
    "server",
    [
        _server("http://192.0.2.1:8000"),
        _server("https://api.example.invalid/v1"),
        _server("http://127.0.0.1:1", processes=("engine",)),
    ],
)
def test_other_servers_have_no_processes_to_look_for(server: Any) -> None:
    """One elsewhere is not on these cores, and one that the run started may be on another host."""
    assert not watch._server_processes(server)


def test_processes_that_use_a_device_and_are_not_ours() -> None:
    """Not this run's and its server's; those that ended meanwhile are no one's."""
    server = _server("http://127.0.0.1:1", processes=("engine",))
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as child:
        try:
            assert watch.foreign_processes({os.getpid(), child.pid}, server) == ()
            assert watch.foreign_processes(set(), server) == ()
            (other,) = watch.foreign_processes({1, child.pid}, server)
            assert other.endswith("(pid 1)")
        finally:
            child.kill()


def test_no_process_is_foreign_if_the_server_s_are_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may be those that use the device."""
    monkeypatch.setattr(watch, "listeners", lambda port: {7: "docker-proxy"})
    assert watch.foreign_processes({1}, _server("http://127.0.0.1:8000")) == ()
