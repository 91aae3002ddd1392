"""Two hosts on one machine: each has its own network, mount, UTS, IPC and PID namespaces, and sshd.

They see the machine's programs, but an empty /tmp, /run, /dev/shm, home folder and checkout of
their own. `bench` runs in a third network namespace, which has the bridge between them, so that
this machine's network is untouched. A host lives as long as its first process, which ends when the
test's process does, however that ends.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
from processes import arguments

HERE = Path(__file__).resolve().parent
SSHD = shutil.which("sshd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
UNSHARE = ("unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--mount-proc", "--fork")
_HIDDEN = ("/run", "/tmp", "/dev/shm", str(Path.home()), str(HERE.parents[1]))
# A home or a checkout in one of the others is hidden with it.
HIDDEN = tuple(one for one in _HIDDEN if not any(one.startswith(f"{top}/") for top in _HIDDEN))
NETWORK = "198.18.0"  # For tests of networks: RFC 2544.
SSHD_CONFIG = """HostKey /run/host_key
AuthorizedKeysFile /run/authorized_keys
PidFile none
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
"""
SSH_CONFIG = """Host *
User root
IdentityFile {folder}/key
IdentitiesOnly yes
UserKnownHostsFile {folder}/known_hosts
GlobalKnownHostsFile /dev/null
"""


def missing() -> str | None:
    """Why there can be no hosts here; None if there can."""
    programs = ("unshare", "nsenter", "ip", "ssh", "ssh-keygen")
    absent = [name for name in programs if shutil.which(name) is None]
    absent += [] if SSHD else ["sshd (the package openssh-server)"]
    if absent:
        return f"not installed: {', '.join(absent)}"
    command = (*UNSHARE, "ip", "link", "add", "v0", "type", "veth")
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"no namespaces or veth: {tried.stderr.strip()}" if tried.returncode else None


@attrs.define
class Host:
    """A running host. `pid`: its first process, as this machine sees it."""

    name: str
    address: str
    pid: int
    before: frozenset[str] = frozenset()

    def processes(self) -> dict[int, str]:
        """What runs there besides its first process and the sshd that listens: pid on this machine
        to command line.
        """
        found = {}
        for pid in inside({namespace(self.pid, "pid")}, "pid"):
            with contextlib.suppress(OSError):
                line = " ".join(arguments(pid))
                if line and pid != self.pid and "[listener]" not in line:
                    found[pid] = line.strip()
        return found

    def path(self, path: str) -> Path:
        """A path of the host, as this machine reaches it."""
        return Path(f"/proc/{self.pid}/root{path}")

    def left(self) -> list[str]:
        """What is there beyond a host that did nothing: processes, files, listening ports."""
        found = [f"{pid} {line}" for pid, line in self.processes().items()]
        for folder in HIDDEN:
            names = [path.name for path in self.path(folder).iterdir()]
            found += [f"{folder}/{name}" for name in names if folder != "/run"]
        for table in ("tcp", "tcp6"):
            rows = Path(f"/proc/{self.pid}/net/{table}").read_text().splitlines()[1:]
            ends = [row.split()[1:4] for row in rows]
            ports = [int(own.rpartition(":")[2], 16) for own, _, state in ends if state == "0A"]
            found += [f"port {port} listens" for port in ports if port != 22]
        return [what for what in found if what not in self.before]

    def soon_empty(self, limit_s: float = 10.0) -> list[str]:
        """Wait until nothing is left. What is, after `limit_s`."""
        deadline = time.monotonic() + limit_s
        while (found := self.left()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found


@attrs.define
class Hosts:
    """Hosts by name. `config`: for ``ssh -F``; `enter`: what a command needs before it to run in
    the network of `bench`.
    """

    config: Path
    enter: tuple[str, ...]
    by_name: dict[str, Host]

    def ssh(self, name: str, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a command on a host, through ssh."""
        command = (*self.enter, "ssh", "-F", str(self.config), "-o", "BatchMode=yes", name, *argv)
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


@contextlib.contextmanager
def hosts(
    folder: Path, names: Sequence[str] = ("east", "west"), *, show: Sequence[str] = ()
) -> Iterator[Hosts]:
    """Run hosts. `folder`: for keys and configuration; `show`: folders of this machine that would
    be hidden.
    """
    _write_keys(folder, names)
    with contextlib.ExitStack() as stack:
        middle = stack.enter_context(_running(("unshare", "--net", "cat"), b""))
        net = f"/proc/{middle.pid}/ns/net"
        _ip(middle, "link set lo up", "link add br0 type bridge", "link set br0 up")
        _ip(middle, f"address add {NETWORK}.254/24 dev br0")
        found = {}
        for number, name in enumerate(names, start=1):
            address = f"{NETWORK}.{number}"
            command = (*UNSHARE, sys.executable, str(HERE / "host.py"))
            settings = _settings(folder, name, address, names, show)
            host = stack.enter_context(_running(command, settings))
            peer = f"type veth peer name {name} netns {middle.pid}"
            _ip(host, "link set lo up", f"link add eth0 {peer}", "link set eth0 up")
            _ip(host, f"address add {address}/24 dev eth0")
            _ip(middle, f"link set {name} master br0", f"link set {name} up")
            assert host.stdout is not None and host.stdout.readline() == b"ready\n"
            first = Path(f"/proc/{host.pid}/task/{host.pid}/children").read_text()
            found[name] = Host(name, address, int(first))
            found[name].before = frozenset(found[name].left())
        yield Hosts(folder / "config", ("nsenter", f"--net={net}"), found)


def this_machine(folder: Path) -> Path:
    """A configuration of ssh whose host ``self`` is this machine. No port is open: each connection
    has an sshd of its own.
    """
    for name in ("key", "self"):
        _write_key(folder / name)
    log = folder / "sshd.log"
    sshd = f"{SSHD} -i -E {log} -f {folder}/sshd_config"
    if os.geteuid() == 0 and not Path("/run/sshd").exists():  # sshd insists on it.
        made = f"mount -t tmpfs tmpfs /run; mkdir /run/sshd; exec {sshd}"
        sshd = f"unshare --mount sh -c '{made}'"
    settings = SSHD_CONFIG.replace("/run/host_key", f"{folder}/self")
    settings = settings.replace("/run/authorized_keys", f"{folder}/key.pub") + "StrictModes no\n"
    (folder / "sshd_config").write_text(settings)
    (folder / "known_hosts").write_text(f"self {(folder / 'self.pub').read_text()}")
    host = f"Host self\nHostName 127.0.0.1\nHostKeyAlias self\nProxyCommand {sshd}\n"
    user = SSH_CONFIG.format(folder=folder).replace("User root", f"User {getpass.getuser()}")
    (folder / "config").write_text(host + user)
    return folder / "config"


def namespace(pid: int | str, kind: str) -> str:
    """The namespace of a process."""
    return str(Path(f"/proc/{pid}/ns/{kind}").readlink())


def inside(namespaces: set[str], kind: str) -> list[int]:
    """The processes in namespaces of a kind."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if namespace(folder.name, kind) in namespaces:
                found.append(int(folder.name))
    return found


def _write_keys(folder: Path, names: Sequence[str]) -> None:
    for name in ("key", *names):
        _write_key(folder / name)
    numbers = list(enumerate(names, start=1))
    known = [f"{NETWORK}.{n} {(folder / f'{name}.pub').read_text()}" for n, name in numbers]
    (folder / "known_hosts").write_text("".join(known))
    config = [f"Host {name}\nHostName {NETWORK}.{n}\n" for n, name in numbers]
    (folder / "config").write_text("".join(config) + SSH_CONFIG.format(folder=folder))


def _write_key(file: Path) -> None:
    command = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file))
    subprocess.run(command, check=True)


def _settings(
    folder: Path, name: str, address: str, names: Sequence[str], show: Sequence[str]
) -> bytes:
    known = [f"{NETWORK}.{number} {other}\n" for number, other in enumerate(names, start=1)]
    files = {
        "/run/host_key": (folder / name).read_text(),
        "/run/authorized_keys": (folder / "key.pub").read_text(),
        "/run/sshd_config": SSHD_CONFIG,
        "/run/hosts": "127.0.0.1 localhost\n" + "".join(known),
    }
    sshd = (SSHD, "-D", "-E", "/run/sshd.log", "-f", "/run/sshd_config")
    made = {"name": name, "address": address, "files": files, "sshd": sshd}
    return json.dumps({**made, "hide": HIDDEN, "show": show}).encode() + b"\n"


@contextlib.contextmanager
def _running(command: Sequence[str], text: bytes) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends at the end of its standard input."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(text)
        process.stdin.flush()
        yield process
        process.stdin.close()


def _ip(process: subprocess.Popen[bytes], *commands: str) -> None:
    """Run commands of ip(8) in the network of a process, which may have just begun."""
    while namespace(process.pid, "net") == namespace("self", "net"):
        time.sleep(0.005)
    command = ("nsenter", f"--net=/proc/{process.pid}/ns/net", "ip", "-batch", "-")
    subprocess.run(command, input="\n".join(commands), text=True, check=True)
