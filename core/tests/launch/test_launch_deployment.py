"""Deployments of real processes, started by node agents: on this machine, and as on others."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from tokenbench.api import (
    Allocation,
    EndpointSpec,
    EngineError,
    FileSpec,
    FrozenMap,
    HardwareAbsent,
    Host,
    Launcher,
    LaunchPlan,
    PluginError,
    PortBlock,
    ProcessSpec,
    Resources,
    UsageError,
)
from tokenbench.launch import deployment as module
from tokenbench.launch.deployment import Deployment
from tokenbench.launch.local import HOST
from tokenbench.launch.node.agent import cpu_model
from tokenbench.launch.placement import Device
from tokenbench.launch.ports import free_port, require_free
from tokenbench.launch.settings import LaunchSettings
from tokenbench.run.provenance import host_facts

Launch = Callable[..., Deployment]


class Hosts(Launcher):
    """Hosts that are this machine under other names and addresses."""

    def __init__(self, *names: str) -> None:
        self._hosts = tuple(
            Host(name=name, address=f"127.0.0.{number + 2}", python=sys.executable)
            for number, name in enumerate(names)
        )
        self.released = 0

    def allocate(self, resources: Resources) -> Allocation:
        return Allocation(id="job", hosts=self._hosts or (HOST,))

    def channel(self, host: Host, argv: Sequence[str]) -> Sequence[str]:
        return argv

    def release(self, allocation: Allocation) -> None:
        self.released += 1


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Starts processes; they end with the test."""
    made: list[Deployment] = []

    def start(
        *specs: ProcessSpec,
        launcher: Launcher | None = None,
        endpoints: tuple[EndpointSpec, ...] = (),
        **settings: Any,
    ) -> Deployment:
        plan = LaunchPlan(processes=specs, endpoints=endpoints)
        made.append(
            Deployment(launcher or Hosts(), plan, LaunchSettings(logs=tmp_path, **settings))
        )
        made[-1].start()
        return made[-1]

    yield start
    for one in made:
        one.stop()


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents are not taken for this machine's."""
    monkeypatch.setattr(module.NodeAgent, "is_here", False)


def _lines(deployment: Deployment, role: str, count: int) -> list[str]:
    deadline = time.monotonic() + 20
    while len(lines := deployment.logs(role, lines=100).split("\n")) < count or not lines[-1]:
        assert time.monotonic() < deadline, f"expected {count} lines: {lines}"
        time.sleep(0.02)
    return lines


def _wait(condition: Callable[[], bool], limit_s: float = 20) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# -- one process -----------------------------------------------------------------------------------


def test_a_process_on_this_machine(launch: Launch, tmp_path: Path) -> None:
    """Files written, symbols bound, logs kept, scratch removed, ports released."""
    spec = ProcessSpec(
        argv=("sh", "{file:run.sh}", "{scratch}", "{shared}", "{cpus}"),
        flags=FrozenMap({"--port": "{port:http}"}),
        files=(FileSpec(name="run.sh", content='echo "$@"; exec sleep 60'),),
    )
    deployment = launch(spec, endpoints=(EndpointSpec(),))
    (endpoint,) = deployment.endpoints
    (placement,) = deployment.placements
    port = placement.ports["http"]
    assert endpoint.url == f"http://127.0.0.1:{port}"
    assert endpoint.metrics_url == f"{endpoint.url}/metrics"
    assert (endpoint.host, endpoint.here) == ("localhost", True)
    assert 10000 <= port < 32768
    (line,) = _lines(deployment, "server", 1)
    scratch, shared, cpus, flag, shown = line.split()
    assert (flag, shown, cpus) == ("--port", str(port), str(len(os.sched_getaffinity(0))))
    assert Path(scratch).is_dir() and Path(shared).is_dir()
    (state,) = deployment.states()
    assert not state.ended and deployment.pids == [state.pid]
    assert deployment.log(placement) == tmp_path / "server-0.log"
    deployment.stop()
    deployment.stop()
    assert not Path(scratch).exists() and not Path(shared).exists()
    assert deployment.states()[0].exit_code == 128 + signal.SIGTERM
    require_free("127.0.0.1", port)


def test_processes_of_a_host_are_in_one_session(launch: Launch) -> None:
    """Linux shares the CPU among sessions, and may leave one without any for long. Each has its own
    process group, by which it is ended.
    """
    spec = ProcessSpec(argv=("sleep", "60"), replicas=2)
    pids = [state.pid for state in launch(spec, attrs.evolve(spec, role="other")).states()]
    assert len(pids) == 4
    (session,) = {os.getsid(pid) for pid in pids}
    assert session not in (os.getsid(0), *pids)
    assert [os.getpgid(pid) for pid in pids] == pids


def test_its_temporary_folder_is_its_own(launch: Launch) -> None:
    """What it leaves there is removed."""
    deployment = launch(ProcessSpec(argv=("sh", "-c", "mktemp; exec sleep 60")))
    (made,) = _lines(deployment, "server", 1)
    assert Path(made).is_file()
    deployment.stop()
    assert not Path(made).exists()


def test_fixed_port(launch: Launch) -> None:
    """The user's port is that of the first process; others are free ones."""
    port = free_port()
    spec = ProcessSpec(argv=("sleep", "60"), ports=("http", "metrics"))
    (place,) = launch(spec, port=port).placements
    assert place.ports["http"] == port
    assert place.ports["metrics"] != port


def test_a_fixed_port_in_use(launch: Launch, started: Callable[[], list[int]]) -> None:
    """Nothing is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EngineError, match=f"port 127.0.0.1:{port} is in use by"):
            launch(ProcessSpec(argv=("sleep", "60")), port=port)


def test_a_fixed_port_of_another_host(launch: Launch, far: None) -> None:
    """Its agent checks it: a port in use is refused before anything starts, a free one is used."""
    spec = ProcessSpec(argv=("sleep", "60"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EngineError, match=f"port {port} of far cannot be used: Address al"):
            launch(spec, launcher=Hosts("far"), port=port)
    port = free_port()
    found = launch(spec, launcher=Hosts("far"), endpoints=(EndpointSpec(),), port=port)
    (endpoint,) = found.endpoints
    assert endpoint.url.endswith(f":{port}")
    assert (endpoint.host, endpoint.here) == ("far", False)


def test_what_of_another_host_can_change_a_number(
    launch: Launch, far: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its machine and its environment, under its name, without keys."""
    monkeypatch.setenv("NCCL_DEBUG", "INFO")
    monkeypatch.setenv("VLLM_API_KEY", "hush")
    facts = host_facts(launch(ProcessSpec(argv=("sleep", "60")), launcher=Hosts("n1")).other_hosts)
    assert facts["host.n1.kernel"] == f"{platform.system()} {platform.release()}"
    assert facts["host.n1.cpu"] == cpu_model()
    assert int(facts["host.n1.memory_bytes"]) > 0 and int(facts["host.n1.cpus"]) > 0
    assert facts["host.n1.env.NCCL_DEBUG"] == "INFO"
    assert "hush" not in facts.values()


def test_this_machine_is_not_recorded_twice(launch: Launch) -> None:
    """The facts of the run are its own."""
    assert launch(ProcessSpec(argv=("sleep", "60"))).other_hosts == {}


def test_port_out_of_range() -> None:
    """A usage error, not an OverflowError of the socket."""
    for port in (0, -1, 65536):
        with pytest.raises(UsageError, match=f"port {port} does not exist"):
            require_free("127.0.0.1", port)


def test_a_block_of_ports(launch: Launch) -> None:
    """Consecutive numbers; other processes have none of them."""
    spec = ProcessSpec(
        argv=("echo", "{port:kv}", "{ports:kv}", "{port:http}"),
        ports=(PortBlock(name="kv", count=8), "http"),
        replicas=2,
    )
    deployment = launch(spec)
    taken: list[int] = []
    for line in _lines(deployment, "server", 2):
        first, block, other = line.split()
        numbers = [int(number) for number in block.split(",")]
        assert numbers == list(range(int(first), int(first) + 8))
        taken += [*numbers, int(other)]
    assert len(set(taken)) == 18 and max(taken) < 32768


@pytest.mark.parametrize("name", ["../../escaped", "/escaped", "..", "", "tmp"])
def test_files_stay_in_their_scratch_folder(launch: Launch, name: str) -> None:
    """The name of a FileSpec is not a path."""
    with pytest.raises(PluginError, match="invalid file name"):
        launch(ProcessSpec(argv=("true",), files=(FileSpec(name=name, content="x"),)))


def test_endpoints_are_counted_by_role(launch: Launch) -> None:
    """A plan without processes describes a server that already runs: it has endpoints only."""
    launcher = Hosts()
    deployment = launch(
        launcher=launcher,
        endpoints=tuple(
            EndpointSpec(role=role, url=f"http://127.0.0.1:{port}/")
            for role, port in (("router", 1), ("decode", 2), ("decode", 3))
        ),
    )
    assert [(e.role, e.index) for e in deployment.endpoints] == [
        *(("router", 0), ("decode", 0), ("decode", 1))
    ]
    assert deployment.states() == []
    assert deployment.hosts == (HOST,)
    deployment.stop()
    deployment.stop()
    assert launcher.released == 1


# -- several processes -----------------------------------------------------------------------------


def test_replica_that_exits_at_once_harms_no_other(launch: Launch) -> None:
    """Its scratch folder is removed, that of others is not."""
    deployment = launch(
        ProcessSpec(role="dying", argv=("true",), replicas=4),
        ProcessSpec(role="living", argv=("sh", "-c", "ls -d {scratch}; exec sleep 60")),
    )
    (scratch,) = _lines(deployment, "living", 1)
    _wait(lambda: sum(state.exit_code == 0 for state in deployment.states()) == 4)
    assert Path(scratch).is_dir()


def test_replicas_stop_concurrently(launch: Launch) -> None:
    """Four processes that need 2 s each to exit stop in about 2 s."""
    script = "trap 'sleep 2; exit' TERM; echo ready; while :; do sleep 0.05; done"
    deployment = launch(ProcessSpec(argv=("sh", "-c", script), replicas=4))
    _lines(deployment, "server", 4)
    begun = time.monotonic()
    deployment.stop()
    assert time.monotonic() - begun < 7
    assert [state.ended for state in deployment.states()] == [True] * 4


def test_failed_start_leaves_nothing(
    launch: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: Any
) -> None:
    """The first process already runs when the second fails to start."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    launcher = Hosts()
    deployment = Deployment(
        launcher,
        LaunchPlan(
            processes=(
                ProcessSpec(role="good", argv=("sleep", "60")),
                ProcessSpec(role="bad", argv=("no-such-command",)),
            ),
            endpoints=(),
        ),
        LaunchSettings(logs=tmp_path),
    )
    with pytest.raises(EngineError, match=r"the command 'no-such-command' does not exist$"):
        deployment.start()
    deployment.stop()
    assert started() == []
    assert not list(tmp_path.glob("tokenbench-*"))
    assert launcher.released == 1


def test_devices_are_not_shared(launch: Launch) -> None:
    """Two replicas with two devices each get different ones."""
    spec = ProcessSpec(argv=("echo", "{devices}"), replicas=2, accelerators=2)
    deployment = launch(spec, devices=lambda _: [Device(str(n)) for n in range(4)])
    assert sorted(_lines(deployment, "server", 2)) == ["0,1", "2,3"]


def test_too_many_accelerators_are_refused(launch: Launch) -> None:
    """Before a process starts."""
    message = "server 0 needs 4 accelerators on one host; no host has more than 2 free"
    with pytest.raises(HardwareAbsent, match=message):
        launch(ProcessSpec(argv=("true",), accelerators=4), devices=lambda _: [Device("0")] * 2)


SERVE = (
    "import http.server, sys, time\n"
    "time.sleep(float(sys.argv[2]))\n"
    "class H(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        time.sleep(0)\n"
    "        self.send_response(200 if self.path == '/ok' else 503); self.end_headers()\n"
    "http.server.HTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()\n"
)


@pytest.mark.parametrize("ready", ["http://{host}:{port:http}/ok", "tcp://{host}:{port:http}"])
def test_a_role_starts_after_another_is_ready(launch: Launch, ready: str) -> None:
    """Not only after it has been started; and the whole is ready when both are."""
    argv = (sys.executable, "-c", SERVE, "{port:http}", "4")
    deployment = launch(
        ProcessSpec(role="frontend", argv=("sleep", "60"), after=("worker",)),
        ProcessSpec(role="worker", argv=argv, ready=ready),
    )
    assert [state.place.role for state in deployment.states() if state.pid] == ["worker"]
    assert deployment.waits_for == "worker"
    _wait(deployment.proceed)
    assert all(state.pid for state in deployment.states())


def test_a_role_that_never_gets_ready(launch: Launch) -> None:
    """503 is not ready. Nothing behind it is started."""
    argv = (sys.executable, "-c", SERVE, "{port:http}", "0")
    deployment = launch(
        ProcessSpec(role="worker", argv=argv, ready="http://{host}:{port:http}/no"),
        ProcessSpec(role="frontend", argv=("sleep", "60"), after=("worker",)),
    )
    for _ in range(10):
        assert not deployment.proceed()
        time.sleep(0.05)
    assert sum(state.pid is not None for state in deployment.states()) == 1


# -- ranks and hosts -------------------------------------------------------------------------------


def test_ranks_of_a_replica(launch: Launch, far: None, tmp_path: Path) -> None:
    """On different hosts; each knows its numbers and its leader. What they print comes here."""
    spec = ProcessSpec(
        role="decode",
        argv=("echo", "{index}", "{rank}", "{leader.host}:{leader.port:http}", "{hosts}", "{host}"),
        replicas=2,
        ranks=2,
    )
    deployment = launch(spec, launcher=Hosts("n1", "n2"))
    places = deployment.placements
    assert [p.name for p in places] == ["decode-0", "decode-0-1", "decode-1", "decode-1-1"]
    assert [p.host.name for p in places] == ["n1", "n2", "n1", "n2"]
    leaders = {p.index: f"{p.host.address}:{p.ports['http']}" for p in places if p.rank == 0}
    _wait(lambda: all(deployment.log(place).read_text() for place in places))
    for place in places:
        assert deployment.log(place).read_text().split() == [
            str(place.index),
            str(place.rank),
            leaders[place.index],
            "127.0.0.2,127.0.0.3",
            place.host.address,
        ]
    assert [host.name for host in deployment.hosts] == ["n1", "n2"]


def test_only_the_leader_is_started(launch: Launch) -> None:
    """As with mpirun, which starts the other ranks itself; they have hosts and devices."""
    spec = ProcessSpec(argv=("echo", "{hosts}"), ranks=2, leader_only=True, accelerators=2)
    deployment = launch(spec, launcher=Hosts("n1", "n2"), devices=lambda _: [Device("0")])
    assert _lines(deployment, "server", 1) == ["127.0.0.2,127.0.0.3"]
    assert [state.place.name for state in deployment.states()] == ["server-0"]
    assert [p.devices for p in deployment.placements] == [("0",), ("0",)]


def test_long_output_of_another_host_is_complete(launch: Launch, far: None) -> None:
    """Also what is printed just before the end."""
    code = "for n in range(20000): print(f'{n:06d} ' + 'ü' * 40)"
    deployment = launch(
        ProcessSpec(argv=(sys.executable, "-X", "utf8", "-c", code)), launcher=Hosts("n1")
    )
    _wait(lambda: deployment.states()[0].ended)
    lines = deployment.log(deployment.placements[0]).read_text("utf-8").splitlines()
    assert len(lines) == 20000
    # A character that is cut between two parts is replaced, and nothing else.
    assert [int(line[:6]) for line in lines] == list(range(20000))


def test_the_end_of_a_host(launch: Launch, started: Any) -> None:
    """Its processes are lost, with the reason; those of others run on until they are stopped."""
    spec = ProcessSpec(argv=("sleep", "60"), ranks=2)
    deployment = launch(spec, launcher=Hosts("n1", "n2"))
    agent = deployment._agents["n2"]
    os.kill(agent.facts["pid"], signal.SIGKILL)
    _wait(lambda: deployment.states()[1].ended)
    first, second = deployment.states()
    assert not first.ended
    assert second.lost == "cannot be reached any more: the agent on n2 was killed by signal 9"
    deployment.stop()
    assert started() == []


def test_a_halted_process(launch: Launch, started: Any) -> None:
    """It has not ended, and does not serve. It can be stopped."""
    deployment = launch(ProcessSpec(argv=("sleep", "60")))
    (state,) = deployment.states()
    assert state.pid is not None
    os.kill(state.pid, signal.SIGSTOP)
    _wait(lambda: deployment.states()[0].ended)
    (state,) = deployment.states()
    assert state.exit_code is None
    assert state.lost is not None and state.lost.startswith("was halted by a signal")
    deployment.stop()
    assert deployment.states()[0].exit_code is not None
    assert started() == []


def test_a_process_that_goes_on_between_halts(launch: Launch) -> None:
    """It is slow, not lost, although nearly each look finds it halted."""
    deployment = launch(ProcessSpec(argv=(sys.executable, "-c", "while True: pass")))
    (state,) = deployment.states()
    assert state.pid is not None
    seen = []
    deadline = time.monotonic() + 6.5
    while time.monotonic() < deadline:
        os.kill(state.pid, signal.SIGSTOP)
        time.sleep(0.99)
        seen.append(deployment.states()[0].lost)
        os.kill(state.pid, signal.SIGCONT)
        time.sleep(0.03)
    assert seen == [None] * len(seen)


@pytest.mark.parametrize("victim", ["agent", "guard", "supervisor"])
def test_a_killed_agent_leaves_nothing(
    launch: Launch, far: None, tmp_path: Path, started: Any, victim: str
) -> None:
    """Neither its processes and what they started, nor its folder."""
    code = (
        "import subprocess, sys, time; print('x', flush=True)\n"
        "subprocess.Popen(['sleep', '61'], start_new_session=True); time.sleep(60)"
    )
    deployment = launch(ProcessSpec(argv=(sys.executable, "-c", code)), launcher=Hosts("n1"))
    _lines(deployment, "server", 1)
    agent = deployment._agents["n1"]
    (state,) = deployment.states()
    pid = agent.facts["pid"]
    if victim == "guard":
        pid = _parent(pid)
    if victim == "supervisor":
        pid = _parent(state.pid)
    os.kill(pid, signal.SIGKILL)
    _wait(lambda: deployment.states()[0].ended)
    deployment.stop()
    assert started() == []
    assert not Path(agent.folder).exists()


def _parent(pid: int | None) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_stop_while_hosts_are_waited_for(tmp_path: Path) -> None:
    """They are given back when they come."""

    class Slow(Hosts):
        def allocate(self, resources: Resources) -> Allocation:
            time.sleep(0.3)
            return super().allocate(resources)

    import threading

    launcher = Slow()
    plan = LaunchPlan(processes=(ProcessSpec(argv=("sleep", "60")),), endpoints=())
    deployment = Deployment(launcher, plan, LaunchSettings(logs=tmp_path))

    def start() -> None:
        with contextlib.suppress(Exception):
            deployment.start()

    thread = threading.Thread(target=start)
    thread.start()
    time.sleep(0.05)
    deployment.stop()
    thread.join(10)
    assert launcher.released == 1
    assert deployment.states() == []


def test_a_host_that_is_not_reached(launch: Launch) -> None:
    """The last words of the channel are the cause."""

    class Closed(Hosts):
        def channel(self, host: Host, argv: Sequence[str]) -> Sequence[str]:
            return ("sh", "-c", "echo 'ssh: connect to host n1: Connection refused' >&2; exit 255")

    with pytest.raises(EngineError, match=r"on n1: .*Connection refused") as caught:
        launch(ProcessSpec(argv=("true",)), launcher=Closed("n1"))
    assert "Python 3.8" in (caught.value.hint or "")


def test_weights_that_a_host_does_not_have(launch: Launch, far: None, tmp_path: Path) -> None:
    """They are looked for there, before anything is started."""
    with pytest.raises(EngineError, match="n1 has no /no/such/model"):
        launch(
            ProcessSpec(argv=("cat", "{weights}")),
            launcher=Hosts("n1"),
            weights="/no/such/model",
        )
    assert json.dumps([p.name for p in tmp_path.glob("server-*")]) == "[]"
