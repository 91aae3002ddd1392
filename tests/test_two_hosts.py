"""Two hosts of the test's own: apart from each other and this machine, and gone after the test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import two_hosts

WHY_NOT = two_hosts.missing()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))
OWNER = """
import pathlib, sys, time
import two_hosts
with two_hosts.hosts(pathlib.Path(sys.argv[1])) as found:
    found.ssh("west", "sleep 300 > /dev/null 2>&1 & touch /tmp/here")
    print(*(host.pid for host in found.by_name.values()), flush=True)
    time.sleep(300)
"""


def test_hosts_are_apart(tmp_path: Path) -> None:
    """Own name, files, processes and network; they reach each other, and nothing is left."""
    with two_hosts.hosts(tmp_path) as hosts:
        assert hosts.ssh("east", "hostname; touch /tmp/mine; ls /tmp").stdout == "east\nmine\n"
        assert hosts.ssh("west", "hostname; ls /tmp").stdout == "west\n"
        assert not Path("/tmp/mine").exists()
        east, west = hosts.by_name.values()
        assert east.left() == ["/tmp/mine"] and west.left() == []
        hosts.ssh("east", "cd /usr/lib; nohup python3 -m http.server 8000 > /dev/null 2>&1 &")
        code = "import urllib.request as u; print(u.urlopen('http://198.18.0.1:8000').status)"
        deadline = time.monotonic() + 20
        while not (done := hosts.ssh("west", f'python3 -c "{code}"')).stdout:
            assert time.monotonic() < deadline, done
        assert done.stdout == "200\n"
        assert west.soon_empty() == []  # sshd's process for the last command ends.
        while len(east.processes()) > 1:
            assert time.monotonic() < deadline, east.processes()
        ((pid, line),) = east.processes().items()
        assert set(east.left()) == {f"{pid} {line}", "/tmp/mine", "port 8000 listens"}


def test_hosts_end_with_a_killed_test(tmp_path: Path) -> None:
    """After kill -9 of the process that made them, no process of theirs is left."""
    environment = {**os.environ, "PYTHONPATH": str(Path(two_hosts.__file__).parents[1])}
    command = (sys.executable, "-c", OWNER, str(tmp_path))
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as owner:
        assert owner.stdout is not None
        pids = [int(pid) for pid in owner.stdout.readline().split()]
        assert len(pids) == 2
        namespaces = {two_hosts.namespace(pid, "net") for pid in pids}
        assert (
            len(two_hosts.inside(namespaces, "net")) > 4
        )  # First process and sshd of both, and sleep.
        owner.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 20
        while (left := two_hosts.inside(namespaces, "net")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left == []
