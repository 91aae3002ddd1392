"""The local launcher where replicas, roles, ports and time limits meet. Real processes only."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tokenbench.api import (
    Allocation,
    EndpointSpec,
    EngineError,
    FileSpec,
    LauncherContext,
    LaunchPlan,
    MachineError,
    PluginError,
    ProcessSpec,
    Resources,
    UsageError,
)
from tokenbench.launch.local import LocalDeployment, LocalLauncher
from tokenbench.launch.ports import free_port, require_free


def _start(launcher: LocalLauncher, *specs: ProcessSpec) -> LocalDeployment:
    allocation = launcher.allocate(Resources(processes=specs))
    return launcher.start(LaunchPlan(processes=specs, endpoints=()), allocation)


def _wait_for_lines(deployment: LocalDeployment, role: str, count: int) -> list[str]:
    deadline = time.monotonic() + 10
    while len(said := deployment.logs(role).split()) < count:
        assert time.monotonic() < deadline, "the processes said too little"
        time.sleep(0.02)
    return said


def test_a_fixed_port_is_used_at_every_start(tmp_path: Path) -> None:
    """A server that is started once more after a stall comes back where the user wants it."""
    port = free_port()
    launcher = LocalLauncher(LauncherContext(logs=tmp_path, port=port))
    spec = ProcessSpec(argv=("x",), ports=("http", "metrics"))
    for _ in range(2):
        (place,) = launcher.allocate(Resources(processes=(spec,))).placements
        assert place.ports["http"] == port
        assert place.ports["metrics"] != port


def test_ports_that_do_not_exist() -> None:
    """Not an overflow inside of a socket call."""
    for port in (0, -1, 65536):
        with pytest.raises(UsageError, match=f"port {port} does not exist"):
            require_free("127.0.0.1", port)


def test_endpoints_are_counted_by_role(tmp_path: Path) -> None:
    """A plan without processes is a server already up: endpoints, and nothing to stop."""
    plan = LaunchPlan(
        endpoints=tuple(
            EndpointSpec(role=role, url=f"http://127.0.0.1:{port}/")
            for role, port in (("router", 1), ("decode", 2), ("decode", 3))
        )
    )
    launcher = LocalLauncher(LauncherContext(logs=tmp_path))
    deployment = launcher.start(plan, Allocation(id="x", hosts=()))
    assert [(e.role, e.index) for e in deployment.endpoints] == [
        *(("router", 0), ("decode", 0), ("decode", 1))
    ]
    assert deployment.status() == []
    deployment.cancel()


def test_a_replica_that_dies_at_once_harms_no_other(tmp_path: Path) -> None:
    """The first takes its scratch folder along before the last one starts."""
    specs = (
        ProcessSpec(role="dying", argv=("true",), replicas=4),
        ProcessSpec(role="living", argv=("sh", "-c", "ls -d {scratch}; exec sleep 60")),
    )
    deployment = _start(LocalLauncher(LauncherContext(logs=tmp_path)), *specs)
    try:
        (scratch,) = _wait_for_lines(deployment, "living", 1)
        assert Path(scratch).is_dir()
    finally:
        deployment.cancel()
    assert not Path(scratch).parent.exists()


@pytest.mark.covers("Deployment.cancel")
def test_replicas_end_at_a_time(tmp_path: Path) -> None:
    """Four that take a second each to say goodbye take about one, not four."""
    script = "trap 'sleep 1; exit' TERM; echo ready; while :; do sleep 0.05; done"
    deployment = _start(
        LocalLauncher(LauncherContext(logs=tmp_path)),
        ProcessSpec(argv=("sh", "-c", script), replicas=4),
    )
    _wait_for_lines(deployment, "server", 4)
    begun = time.monotonic()
    deployment.cancel()
    assert time.monotonic() - begun < 3.5
    assert all(state.exit_code is not None for state in deployment.status())


def test_a_start_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: Callable[[], list[int]]
) -> None:
    """The first process runs when the second cannot be started."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    specs = (
        ProcessSpec(role="good", argv=("sleep", "60")),
        ProcessSpec(role="bad", argv=("no-such-command",)),
    )
    with pytest.raises(EngineError, match="does not exist"):
        _start(LocalLauncher(LauncherContext(logs=tmp_path)), *specs)
    assert started() == []
    assert not list(tmp_path.glob("tokenbench-*"))


@pytest.mark.parametrize("name", ["../../escaped", "/escaped", "..", ""])
def test_files_stay_in_their_scratch_folder(tmp_path: Path, name: str) -> None:
    """A plugin's file has a name, not a path."""
    spec = ProcessSpec(argv=("true",), files=(FileSpec(name=name, content="x"),))
    with pytest.raises(PluginError, match="is not the name of a file"):
        _start(LocalLauncher(LauncherContext(logs=tmp_path)), spec)


def test_no_place_for_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lines for the user, no traceback."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nope"))
    with pytest.raises(MachineError, match="cannot make a scratch folder"):
        _start(LocalLauncher(LauncherContext(logs=tmp_path)), ProcessSpec(argv=("true",)))


def test_unconfined_processes_may_use_all_cores(tmp_path: Path) -> None:
    """An engine told to use zero threads would not start, or be slow."""
    spec = ProcessSpec(argv=("echo", "{cpus}"))
    deployment = _start(LocalLauncher(LauncherContext(logs=tmp_path)), spec)
    said = _wait_for_lines(deployment, "server", 1)
    deployment.cancel()
    assert said == [str(len(os.sched_getaffinity(0)))]


@pytest.mark.covers("Launcher.run_on")
def test_a_short_command_is_held_to_its_time(
    tmp_path: Path, started: Callable[[], list[int]]
) -> None:
    """Also where it left the work to a child, which ends with it."""
    launcher = LocalLauncher(LauncherContext(logs=tmp_path))
    begun = time.monotonic()
    with pytest.raises(EngineError, match="did not end within"):
        launcher.run_on("localhost", ["sh", "-c", "sleep 60 & wait"], timeout_s=0.2)
    assert time.monotonic() - begun < 5
    assert started() == []
    done = launcher.run_on("localhost", ["sh", "-c", "echo a; echo b >&2; exit 4"], timeout_s=5)
    assert (done.exit_code, done.stdout, done.stderr) == (4, "a\n", "b\n")
    with pytest.raises(EngineError, match="does not exist"):
        launcher.run_on("localhost", ["no-such-command"], timeout_s=5)


@pytest.mark.covers("Launcher.put", "Launcher.get")
def test_copies(tmp_path: Path) -> None:
    """To itself is done already; what cannot be copied is said in two lines."""
    launcher = LocalLauncher(LauncherContext(logs=tmp_path))
    file = tmp_path / "file"
    file.write_text("x")
    launcher.put("localhost", file, str(file))
    assert file.read_text() == "x"
    with pytest.raises(MachineError, match="cannot copy"):
        launcher.get("localhost", str(tmp_path / "nope"), file)
