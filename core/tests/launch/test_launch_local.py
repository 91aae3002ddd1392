"""The local launcher with real processes: replicas, roles, ports, files and time limits."""

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
    while len(lines := deployment.logs(role).split()) < count:
        assert time.monotonic() < deadline, f"expected {count} lines: {lines}"
        time.sleep(0.02)
    return lines


def test_fixed_port_is_reused(tmp_path: Path) -> None:
    """A restarted server gets the user's port again; other ports are free ones."""
    port = free_port()
    launcher = LocalLauncher(LauncherContext(logs=tmp_path, port=port))
    spec = ProcessSpec(argv=("x",), ports=("http", "metrics"))
    for _ in range(2):
        (place,) = launcher.allocate(Resources(processes=(spec,))).placements
        assert place.ports["http"] == port
        assert place.ports["metrics"] != port


def test_port_out_of_range() -> None:
    """A usage error, not an OverflowError of the socket."""
    for port in (0, -1, 65536):
        with pytest.raises(UsageError, match=f"port {port} does not exist"):
            require_free("127.0.0.1", port)


def test_endpoints_are_counted_by_role(tmp_path: Path) -> None:
    """A plan without processes describes a server that already runs: it has endpoints only."""
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


def test_replica_that_exits_at_once_harms_no_other(tmp_path: Path) -> None:
    """The first scratch folder may be removed before the last process starts."""
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
def test_replicas_stop_concurrently(tmp_path: Path) -> None:
    """Four processes that need 1 s each to exit stop in about 1 s."""
    script = "trap 'sleep 1; exit' TERM; echo ready; while :; do sleep 0.05; done"
    deployment = _start(
        LocalLauncher(LauncherContext(logs=tmp_path)),
        ProcessSpec(argv=("sh", "-c", script), replicas=4),
    )
    _wait_for_lines(deployment, "server", 4)
    begun = time.monotonic()
    deployment.cancel()
    assert time.monotonic() - begun < 3.5
    assert [state.exit_code is None for state in deployment.status()] == [False] * 4


def test_failed_start_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: Callable[[], list[int]]
) -> None:
    """The first process already runs when the second fails to start."""
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
    """The name of a FileSpec is not a path."""
    spec = ProcessSpec(argv=("true",), files=(FileSpec(name=name, content="x"),))
    with pytest.raises(PluginError, match="invalid file name"):
        _start(LocalLauncher(LauncherContext(logs=tmp_path)), spec)


def test_scratch_folder_cannot_be_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A MachineError instead of a traceback."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nope"))
    with pytest.raises(MachineError, match="cannot create a scratch folder"):
        _start(LocalLauncher(LauncherContext(logs=tmp_path)), ProcessSpec(argv=("true",)))


def test_unconfined_processes_may_use_all_cores(tmp_path: Path) -> None:
    """`cpus` is bound to their number, never to 0."""
    spec = ProcessSpec(argv=("echo", "{cpus}"))
    deployment = _start(LocalLauncher(LauncherContext(logs=tmp_path)), spec)
    lines = _wait_for_lines(deployment, "server", 1)
    deployment.cancel()
    assert lines == [str(len(os.sched_getaffinity(0)))]


@pytest.mark.covers("Launcher.run_on")
def test_command_with_a_time_limit(tmp_path: Path, started: Callable[[], list[int]]) -> None:
    """Its children end with it; without a timeout it returns exit code and output."""
    launcher = LocalLauncher(LauncherContext(logs=tmp_path))
    begun = time.monotonic()
    with pytest.raises(EngineError, match="did not exit within"):
        launcher.run_on("localhost", ["sh", "-c", "sleep 60 & wait"], timeout_s=0.2)
    assert time.monotonic() - begun < 5
    assert started() == []
    done = launcher.run_on("localhost", ["sh", "-c", "echo a; echo b >&2; exit 4"], timeout_s=5)
    assert (done.exit_code, done.stdout, done.stderr) == (4, "a\n", "b\n")
    with pytest.raises(EngineError, match="does not exist"):
        launcher.run_on("localhost", ["no-such-command"], timeout_s=5)


@pytest.mark.covers("Launcher.put", "Launcher.get")
def test_copies(tmp_path: Path) -> None:
    """There and back; onto itself; a missing file is a MachineError."""
    launcher = LocalLauncher(LauncherContext(logs=tmp_path))
    file, remote, back = (tmp_path / name for name in ("file", "remote", "back"))
    file.write_text("x")
    launcher.put("localhost", file, str(remote))
    launcher.get("localhost", str(remote), back)
    assert (remote.read_text(), back.read_text()) == ("x", "x")
    launcher.put("localhost", file, str(file))
    assert file.read_text() == "x"
    with pytest.raises(MachineError, match="cannot copy"):
        launcher.get("localhost", str(tmp_path / "nope"), file)
