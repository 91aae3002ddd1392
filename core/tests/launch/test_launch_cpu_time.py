"""CPU time that other programs use, with real processes and sockets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tokenbench.launch.cpu_time import ForeignLoad
from tokenbench.launch.ports import listeners, on_this_machine

_BURN = "import time; end = time.monotonic() + 20\nwhile time.monotonic() < end: pass"


@pytest.fixture
def burner() -> Iterator[int]:
    """A busy process that is no descendant of this one, on core 0 of those it may use."""
    core = min(os.sched_getaffinity(0))
    child = f"import os; os.sched_setaffinity(0, [{core}])\n{_BURN}"
    parent = (
        "import subprocess\n"
        f"command = [{sys.executable!r}, '-c', {child!r}]\n"
        "nothing = subprocess.DEVNULL\n"
        "print(subprocess.Popen(command, stdout=nothing, stderr=nothing).pid)"
    )
    done = subprocess.run(
        [sys.executable, "-c", parent], capture_output=True, check=True, text=True
    )
    pid = int(done.stdout)
    yield pid
    os.kill(pid, signal.SIGKILL)


def test_a_server_of_the_user_is_not_foreign(burner: int) -> None:
    """Its CPU is subtracted where its process is known, and is foreign otherwise."""
    cores = tuple(sorted(os.sched_getaffinity(0)))
    unknown, known = ForeignLoad(cores), ForeignLoad(cores, [burner])
    time.sleep(1.5)
    without, with_server = unknown.measure(), known.measure()
    assert without.share is not None and with_server.share is not None
    # The machine may give it less than a core.
    assert without.share - with_server.share > 0.2 / len(cores)
    assert with_server.busiest is None or f"(pid {burner})" not in with_server.busiest


def test_the_busiest_program_is_named(burner: int) -> None:
    """Unless another program of this machine was busier."""
    load = ForeignLoad(tuple(os.sched_getaffinity(0)))
    time.sleep(1.0)
    assert load.measure().busiest is not None


def test_listeners() -> None:
    """Name by pid of those who may accept connections; children inherit the socket."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        assert listeners(port) == {}
        server.listen()
        assert set(listeners(port)) == {os.getpid()}
        server.set_inheritable(True)
        with subprocess.Popen(["sleep", "20"], close_fds=False) as child:
            time.sleep(0.2)
            found = listeners(port)
            child.kill()
        assert set(found) == {os.getpid(), child.pid}
        assert found[child.pid] == "sleep"
    assert listeners(port) == {}


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1", True),
        ("localhost", True),
        ("0.0.0.0", True),
        ("192.0.2.1", False),
        ("no-such-host.invalid", False),
        ("", False),
        ("\u00fc" * 80, False),
    ],
)
def test_addresses_of_this_machine(host: str, ours: bool) -> None:
    """Those that can be bound; 192.0.2.1 is reserved for documentation."""
    assert on_this_machine(host) is ours
