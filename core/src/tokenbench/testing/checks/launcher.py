"""Launchers: allocate what was requested; run commands and copy files on hosts."""

from __future__ import annotations

import contextlib
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from tokenbench.api import (
    EngineError,
    HardwareAbsent,
    Launcher,
    LauncherContext,
    ProcessSpec,
    Resources,
)
from tokenbench.launch.ports import free_port
from tokenbench.testing.kit import Subject, check, fail, skip
from tokenbench.testing.samples.running import (
    LIMIT_S,
    MARK,
    command_lines,
    fail_if_alive,
    launcher_of,
)

_TWO = (
    ProcessSpec(role="one", argv=("x",), ports=("http", "metrics"), replicas=2),
    ProcessSpec(role="two", argv=("x",), ports=("http",)),
)


# -- allocate ------------------------------------------------------------------------------------


@check(2, "launcher")
def launcher_factory_returns_a_launcher(subject: Subject) -> None:
    """`factory(options, context)` returns a `tokenbench.api.Launcher`.

    To fix: derive the class from Launcher and return an instance of it.
    """
    made = subject.spec.factory(subject.options, LauncherContext(logs=Path(tempfile.gettempdir())))
    if not isinstance(made, Launcher):
        fail(f"the factory returned a {type(made).__name__}")


@check(2, "launcher")
def empty_allocation_is_allowed(subject: Subject) -> None:
    """Resources without processes can be allocated: a running server needs none.

    To fix: return an Allocation without placements.
    """
    with launcher_of(subject) as (launcher, _):
        places = launcher.allocate(Resources(processes=())).placements
    if places:
        fail(f"requested nothing, got {places}")


@check(2, "launcher")
def every_replica_is_placed(subject: Subject) -> None:
    """Each replica of each process has one placement, on a host of the allocation.

    To fix: create a Placement for each index, 0 to replicas-1, of each role.
    """
    with launcher_of(subject) as (launcher, _):
        given = launcher.allocate(Resources(processes=_TWO))
    places = sorted((place.role, place.index) for place in given.placements)
    if places != [("one", 0), ("one", 1), ("two", 0)]:
        fail(f"role one with 2 replicas and role two with 1 are placed as {places}")
    if not all(place.host in given.hosts for place in given.placements):
        fail("a placement's host is not in the allocation")


@check(2, "launcher")
def placements_have_the_named_ports(subject: Subject) -> None:
    """Each placement has exactly the ports that its process names.

    To fix: assign a number to each name in `process.ports`.
    """
    wanted = {process.role: set(process.ports) for process in _TWO}
    with launcher_of(subject) as (launcher, _):
        for place in launcher.allocate(Resources(processes=_TWO)).placements:
            if set(place.ports) != wanted[place.role]:
                fail(f"{place.role} needs {wanted[place.role]}, got {set(place.ports)}")


@check(2, "launcher")
def ports_are_distinct(subject: Subject) -> None:
    """Ports of a host are unique.

    To fix: remember assigned ports, not only those in use.
    """
    with launcher_of(subject) as (launcher, _):
        places = launcher.allocate(Resources(processes=_TWO)).placements
    given = [(place.host.name, number) for place in places for number in place.ports.values()]
    if len(given) != len(set(given)):
        fail(f"a port was assigned twice: {given}")


@check(2, "launcher")
def requested_port_is_used(subject: Subject) -> None:
    """If the context has a port, it is the first port assigned.

    To fix: assign `context.port` to the first port of the first process.
    """
    port = free_port()
    with launcher_of(subject, port=port) as (launcher, _):
        places = launcher.allocate(Resources(processes=_TWO)).placements
    if places and places[0].ports.get("http") != port:
        fail(f"requested port {port}, got {dict(places[0].ports)}")


@check(2, "launcher")
def too_many_accelerators_are_rejected(subject: Subject) -> None:
    """A request for more accelerators than exist raises HardwareAbsent.

    To fix: compare `resources.accelerators` with the free ones before allocating.
    """
    wanted = ProcessSpec(argv=("x",), accelerators=100_000)
    with launcher_of(subject) as (launcher, _):
        try:
            launcher.allocate(Resources(processes=(wanted,)))
        except HardwareAbsent:
            return
    fail("it allocated 100000 accelerators")


@check(2, "launcher")
def accelerators_are_not_shared(subject: Subject) -> None:
    """Each replica gets as many devices as it requests, and no device is assigned twice.

    To fix: remove devices from the list when they are assigned.
    """
    asked = ProcessSpec(argv=("x",), accelerators=1, replicas=2)
    with launcher_of(subject, devices=("kit-a", "kit-b")) as (launcher, _):
        try:
            places = launcher.allocate(Resources(processes=(asked,))).placements
        except HardwareAbsent as absent:
            skip(f"it does not use devices of this machine: {absent.message}")
    given = [device for place in places for device in place.devices]
    if len(set(given)) != len(places) or any(len(place.devices) != 1 for place in places):
        fail(f"two replicas with one accelerator each got {[p.devices for p in places]}")


# -- hosts ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _host(subject: Subject) -> Iterator[tuple[Launcher, str, Path]]:
    """The launcher, a host of an allocation, and a folder."""
    with launcher_of(subject) as (launcher, folder):
        given = launcher.allocate(Resources(processes=(ProcessSpec(argv=("x",)),)))
        yield launcher, given.hosts[0].name, folder


@check(3, "launcher")
def run_on_reports_the_result(subject: Subject) -> None:
    """`run_on` returns the exit code, stdout and stderr separately.

    To fix: do not merge the two streams, and do not raise for an exit code.
    """
    with _host(subject) as (launcher, host, _):
        argv = ("sh", "-c", "echo out; echo err >&2; exit 3")
        done = launcher.run_on(host, argv, timeout_s=LIMIT_S)
    found = (done.exit_code, done.stdout.strip(), done.stderr.strip())
    if found != (3, "out", "err"):
        fail(f"expected exit code 3, 'out' and 'err', got {found}")


@check(3, "launcher")
def run_on_enforces_its_time_limit(subject: Subject) -> None:
    """A command that exceeds `timeout_s` raises EngineError at once.

    To fix: pass the limit to the function that runs the command.
    """
    with _host(subject) as (launcher, host, _):
        begun = time.monotonic()
        try:
            launcher.run_on(host, ("sleep", "3"), timeout_s=0.2)
        except EngineError:
            took = time.monotonic() - begun
            if took > 2.5:
                fail(f"a limit of 0.2 s was enforced after {took:.1f} s")
            return
    fail("a command of 3 s did not exceed a limit of 0.2 s")


@check(3, "launcher")
def run_on_leaves_no_process(subject: Subject) -> None:
    """A command that exceeds its limit is ended, with all its child processes.

    To fix: end the whole process group on the host, not only the connection to it.
    """
    mark = f"{MARK}{uuid.uuid4()}"
    with _host(subject) as (launcher, host, _):
        with contextlib.suppress(EngineError):
            script = 'sh -c "sleep 9; true" "$0" & wait'
            launcher.run_on(host, ("sh", "-c", script, mark), timeout_s=1.0)
        fail_if_alive(command_lines(mark), "after the time limit")


@check(3, "launcher")
def put_and_get_keep_every_byte(subject: Subject) -> None:
    """A file copied to a host and back is unchanged.

    To fix: copy bytes, not text.
    """
    content = bytes(range(256)) * 64 + b"\r\n\x00"
    with _host(subject) as (launcher, host, folder):
        there = f"{folder}/kit-remote"
        (folder / "kit-put").write_bytes(content)
        launcher.put(host, folder / "kit-put", there)
        launcher.get(host, there, folder / "kit-got")
        if (folder / "kit-got").read_bytes() != content:
            fail("the file changed between put() and get()")


@check(3, "launcher")
def attach_rejects_unknown_deployments(subject: Subject) -> None:
    """`attach` of an unknown deployment raises EngineError.

    To fix: look it up before you create a Deployment.
    """
    with launcher_of(subject) as (launcher, _):
        try:
            launcher.attach(f"kit-{uuid.uuid4()}")
        except EngineError:
            return
        except Exception as error:
            fail(f"raised {type(error).__name__}: {error}")
    fail("attach() returned a deployment that does not exist")
