"""The launcher `ssh` with two hosts: failures have their cause; nothing is left on the hosts."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import two_hosts
from tokenbench_launcher_ssh.launcher import SshLauncher
from tokenbench_launcher_ssh.options import SshOptions

from tokenbench.api import (
    BenchError,
    EngineError,
    FrozenMap,
    Host,
    LaunchPlan,
    ProcessSpec,
    UsageError,
)
from tokenbench.launch.deployment import Deployment
from tokenbench.launch.node.client import AgentError, NodeAgent
from tokenbench.launch.settings import LaunchSettings

WHY_NOT = two_hosts.missing()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[two_hosts.Hosts]:
    """Two hosts; after the tests, nothing may be left on them."""
    with two_hosts.hosts(tmp_path_factory.mktemp("hosts")) as found:
        yield found
        for host in found.by_name.values():
            assert host.soon_empty() == []


class Inside(SshLauncher):
    """From the network of the hosts."""

    enter: tuple[str, ...] = ()

    def channel(self, host: Host, argv: Sequence[str]) -> Sequence[str]:
        return (*self.enter, *super().channel(host, argv))


def launcher(hosts: two_hosts.Hosts, *names: str, **options: Any) -> Inside:
    options = {"config": str(hosts.config), "connect_timeout_s": 2} | options
    made = Inside(SshOptions(hosts=names, **options))
    made.enter = hosts.enter
    return made


def deployment(made: SshLauncher, logs: Path, *argv: str, ranks: int = 1) -> Deployment:
    spec = ProcessSpec(argv=argv or ("sleep", "60"), ranks=ranks)
    return Deployment(made, LaunchPlan(processes=(spec,), endpoints=()), LaunchSettings(logs=logs))


def config(hosts: two_hosts.Hosts, folder: Path, old: str, new: str) -> str:
    """A configuration with a change."""
    text = hosts.config.read_text()
    assert old in text
    (folder / "config").write_text(text.replace(old, new))
    return str(folder / "config")


# -- failures --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("198.18.0.9", {}, r"ssh: connect to host 198\.18\.0\.9 port 22: (No route|.* timed out)"),
        ("east:2222", {}, "ssh: connect to host 198.18.0.1 port 2222: Connection refused"),
        ("nobody@east", {}, r"nobody@198.18.0.1: Permission denied \(publickey\)"),
        ("east", {"python": "python3.99"}, "exec: python3.99: not found"),
        ("east", {"python": "/etc"}, "exec: /etc: Permission denied"),
    ],
)
def test_host_that_is_not_reached(hosts, tmp_path: Path, name: str, options, said: str) -> None:
    """The cause is the channel's last word; the hint is the command to try."""
    made = launcher(hosts, name, **options)
    started = deployment(made, tmp_path)
    host = name.rpartition("@")[2]
    with pytest.raises(
        EngineError, match=rf"^no process can be started on {host}: .*{said}"
    ) as told:
        started.start()
    started.stop()
    python = options.get("python", "python3")
    assert told.value.hint.endswith(f"-- {host.partition(':')[0]} 'exec {python} -V'")


def test_keys_of_hosts(hosts, tmp_path: Path) -> None:
    """An unknown key is not the same as one that has changed."""
    known = hosts.config.with_name("known_hosts")
    east, west = known.read_text().splitlines()
    files = {"changed": f"{east.split()[0]} {west.partition(' ')[2]}\n", "unknown": ""}
    expected = {
        "changed": "Host key for 198.18.0.1 has changed and you have requested strict checking. | ",
        "unknown": "",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        changed = config(hosts, tmp_path, str(known), str(tmp_path / name))
        started = deployment(launcher(hosts, "east", config=changed), tmp_path)
        with pytest.raises(EngineError) as told:
            started.start()
        started.stop()
        assert told.value.message == (
            f"no process can be started on east: {expected[name]}Host key verification failed."
        )


def test_addresses(hosts, tmp_path: Path) -> None:
    """From ssh's configuration, or as given; each failure names what to do."""
    made = launcher(hosts, "east", "west", addresses=FrozenMap(west="10.1.2.3"))
    allocation = made.allocate(None)
    assert [(host.name, host.address) for host in allocation.hosts] == [
        *(("east", "198.18.0.1"), ("west", "10.1.2.3"))
    ]
    with pytest.raises(UsageError, match=r"^the address of nohost\.invalid is unknown: nohost"):
        launcher(hosts, "nohost.invalid").allocate(None)
    with pytest.raises(UsageError, match=r"^west has the address 127\.0\.0\.1, which other hosts"):
        launcher(hosts, "east", "west", addresses=FrozenMap(west="127.0.0.1")).allocate(None)
    with pytest.raises(UsageError, match="ssh does not accept its configuration: Can't open user"):
        launcher(hosts, "east", config="/no/such/file").allocate(None)
    broken = config(hosts, tmp_path, "IdentitiesOnly", "IdentitiesSometimes")
    with pytest.raises(UsageError, match=r"config: line \d+: Bad|terminating"):
        launcher(hosts, "east", config=broken).allocate(None)


@pytest.mark.parametrize("version", ["2.7", "3.6", "3.7", "this"])
def test_python_that_is_too_old(tmp_path: Path, version: str) -> None:
    """It can read the program that says so."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    pythons = [str(path) for path in root.glob(f"versions/{version}.*/bin/python")]
    oldest = "(3, 8)"
    if version == "this":
        pythons, oldest = [sys.executable], "(99, 0)"
    if not pythons:
        pytest.skip(f"no Python {version} here")

    def channel(argv: Sequence[str]) -> Sequence[str]:
        assert "(3, 8)" in argv[-1]
        return [part.replace("(3, 8)", oldest) for part in argv]

    with pytest.raises(AgentError, match=r"^Python 3\.8 or newer is needed, this is \d\.\d+\.\d+$"):
        NodeAgent(host="old", channel=channel, python=pythons[0], log=tmp_path / "log")


# -- where processes run ---------------------------------------------------------------------------


def test_other_hosts_are_not_this_machine(hosts, tmp_path: Path) -> None:
    """Although they share its kernel: their pids are their own, and all their cores are theirs."""
    started = deployment(launcher(hosts, "east", "west"), tmp_path, ranks=2)
    try:
        started.start()
        for agent in started._agents.values():
            assert (agent.is_here, agent.sees_our_pids) == (False, False)
        assert started.pids == []
        pids = {state.place.host.name: state.pid for state in started.states()}
        assert set(pids) == {"east", "west"}
        for name, pid in pids.items():
            assert hosts.by_name[name].path(f"/proc/{pid}/comm").read_text() == "sleep\n"
    finally:
        started.stop()


def test_ssh_to_this_machine(tmp_path: Path) -> None:
    """Pids are those of this machine, and processes keep to the cores that servers may use."""
    (tmp_path / "ssh").mkdir()
    found = two_hosts.this_machine(tmp_path / "ssh")
    made = SshLauncher(SshOptions(hosts=("self",), config=str(found), python=sys.executable))
    (core, *_) = os.sched_getaffinity(0)
    spec = ProcessSpec(argv=("sleep", "60"))
    settings = LaunchSettings(logs=tmp_path, cpus=(core,))
    started = Deployment(made, LaunchPlan(processes=(spec,), endpoints=()), settings)
    try:
        started.start()
        (pid,) = started.pids
        assert Path(f"/proc/{pid}/comm").read_text() == "sleep\n"
        assert os.sched_getaffinity(pid) == {core}
    finally:
        started.stop()


def test_shared_folder(hosts, tmp_path: Path) -> None:
    """One folder for the processes on both hosts, if there can be one; it is removed."""
    script = "echo {rank} > {shared}/{rank}; while [ ! -e {shared}/0 ] || [ ! -e {shared}/1 ]; do "
    argv = ("sh", "-c", script + "sleep 0.05; done; ls {shared}; sleep 60")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as common:
        started = deployment(
            launcher(hosts, "east", "west", shared=common), tmp_path, *argv, ranks=2
        )
        try:
            started.start()
            deadline = time.monotonic() + 20
            while started.logs("server", lines=9) != "0\n1\n0\n1":
                assert time.monotonic() < deadline, started.logs("server", lines=9)
                time.sleep(0.05)
        finally:
            started.stop()
        assert list(Path(common).iterdir()) == []
    for shared, said in (
        ("/tmp", "west does not see files that another host writes to /tmp"),
        (None, "server needs a folder shared by east, west"),
    ):
        started = deployment(
            launcher(hosts, "east", "west", shared=shared), tmp_path, *argv, ranks=2
        )
        with pytest.raises(BenchError, match=f"^{said}$"):
            started.start()
        started.stop()


# -- ends ------------------------------------------------------------------------------------------


def test_lost_network(hosts, tmp_path: Path) -> None:
    """A cable that is pulled ends no connection; the host stops waiting by itself."""
    host = hosts.by_name["west"]
    made = launcher(hosts, "west")
    (target,) = made.allocate(None).hosts

    def channel(argv: Sequence[str]) -> Sequence[str]:
        return made.channel(target, argv)

    link = ("nsenter", f"--net=/proc/{host.pid}/ns/net", "ip", "link", "set", "eth0")
    with NodeAgent(host="west", channel=channel, python="python3", silence_s=2) as agent:
        time.sleep(3)
        assert agent.ask("clock")
        try:
            subprocess.run((*link, "down"), check=True)
            deadline = time.monotonic() + 20
            while any("agent.py" in line for line in host.processes().values()):
                assert time.monotonic() < deadline, host.processes()
                time.sleep(0.05)
            assert not agent.gone  # Nobody here knows yet.
            assert list(host.path("/tmp").iterdir()) == []
        finally:
            subprocess.run((*link, "up"), check=True)
