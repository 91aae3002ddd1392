"""Launchers: what was asked for is given, and commands and files find their host."""

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


# -- allocating ----------------------------------------------------------------------------------


@check(2, "launcher")
def launcher_factory_returns_a_launcher(subject: Subject) -> None:
    """`factory(options, context)` gives a `tokenbench.api.Launcher`.

    To fix: derive the class from Launcher and return an instance of it.
    """
    made = subject.spec.factory(subject.options, LauncherContext(logs=Path(tempfile.gettempdir())))
    if not isinstance(made, Launcher):
        fail(f"the factory gives a {type(made).__name__}")


@check(2, "launcher")
def empty_allocation_is_allowed(subject: Subject) -> None:
    """Resources without processes are given: a server that is already up needs none.

    To fix: return an Allocation without placements.
    """
    with launcher_of(subject) as (launcher, _):
        places = launcher.allocate(Resources(processes=())).placements
    if places:
        fail(f"asked for nothing, got {places}")


@check(2, "launcher")
def every_replica_is_placed(subject: Subject) -> None:
    """Each replica of each process has one placement, on a host of the allocation.

    To fix: give index 0 to replicas-1 of each role a Placement.
    """
    with launcher_of(subject) as (launcher, _):
        given = launcher.allocate(Resources(processes=_TWO))
    places = sorted((place.role, place.index) for place in given.placements)
    if places != [("one", 0), ("one", 1), ("two", 0)]:
        fail(f"one with 2 replicas and two with 1 are placed as {places}")
    if not all(place.host in given.hosts for place in given.placements):
        fail("a placement is on a host that is not of the allocation")


@check(2, "launcher")
def placements_have_the_named_ports(subject: Subject) -> None:
    """Each placement has a number for each port that its process names, and for no other.

    To fix: go through `process.ports`.
    """
    wanted = {process.role: set(process.ports) for process in _TWO}
    with launcher_of(subject) as (launcher, _):
        for place in launcher.allocate(Resources(processes=_TWO)).placements:
            if set(place.ports) != wanted[place.role]:
                fail(f"{place.role} names {wanted[place.role]}, got {set(place.ports)}")


@check(2, "launcher")
def ports_are_distinct(subject: Subject) -> None:
    """No port of a host is given twice.

    To fix: keep what was handed out, not only what is bound at the moment.
    """
    with launcher_of(subject) as (launcher, _):
        places = launcher.allocate(Resources(processes=_TWO)).placements
    given = [(place.host.name, number) for place in places for number in place.ports.values()]
    if len(given) != len(set(given)):
        fail(f"the ports {given}")


@check(2, "launcher")
def requested_port_is_used(subject: Subject) -> None:
    """The first port is that of the context, where the user asked for one.

    To fix: give `context.port` to the first port of the first process.
    """
    port = free_port()
    with launcher_of(subject, port=port) as (launcher, _):
        places = launcher.allocate(Resources(processes=_TWO)).placements
    if places and places[0].ports.get("http") != port:
        fail(f"asked for {port}, got {dict(places[0].ports)}")


@check(2, "launcher")
def too_many_accelerators_are_rejected(subject: Subject) -> None:
    """Asked for more accelerators than there are, it raises HardwareAbsent.

    To fix: compare `resources.accelerators` with what is free before giving anything.
    """
    wanted = ProcessSpec(argv=("x",), accelerators=100_000)
    with launcher_of(subject) as (launcher, _):
        try:
            launcher.allocate(Resources(processes=(wanted,)))
        except HardwareAbsent:
            return
    fail("it gave 100000 accelerators")


@check(2, "launcher")
def accelerators_are_not_shared(subject: Subject) -> None:
    """Each replica gets as many devices as it asks for, and no device is given twice.

    To fix: take devices from the list as they are given.
    """
    asked = ProcessSpec(argv=("x",), accelerators=1, replicas=2)
    with launcher_of(subject, devices=("kit-a", "kit-b")) as (launcher, _):
        try:
            places = launcher.allocate(Resources(processes=(asked,))).placements
        except HardwareAbsent as absent:
            skip(f"it does not use this machine's devices: {absent.message}")
    given = [device for place in places for device in place.devices]
    if len(set(given)) != len(places) or any(len(place.devices) != 1 for place in places):
        fail(f"two replicas with one accelerator each got {[p.devices for p in places]}")


# -- hosts ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _host(subject: Subject) -> Iterator[tuple[Launcher, str, Path]]:
    """The launcher with a host of an allocation, and a folder."""
    with launcher_of(subject) as (launcher, folder):
        given = launcher.allocate(Resources(processes=(ProcessSpec(argv=("x",)),)))
        yield launcher, given.hosts[0].name, folder


@check(3, "launcher")
def run_on_reports_the_result(subject: Subject) -> None:
    """`run_on` gives the exit code, and what went to stdout and stderr, each by itself.

    To fix: do not merge the two, and do not raise for an exit code.
    """
    with _host(subject) as (launcher, host, _):
        argv = ("sh", "-c", "echo out; echo err >&2; exit 3")
        done = launcher.run_on(host, argv, timeout_s=LIMIT_S)
    told = (done.exit_code, done.stdout.strip(), done.stderr.strip())
    if told != (3, "out", "err"):
        fail(f"exit code 3, 'out' and 'err' are told as {told}")


@check(3, "launcher")
def run_on_enforces_its_time_limit(subject: Subject) -> None:
    """A command that takes longer than `timeout_s` is an EngineError, and not waited for.

    To fix: give the limit to whatever runs the command.
    """
    with _host(subject) as (launcher, host, _):
        begun = time.monotonic()
        try:
            launcher.run_on(host, ("sleep", "3"), timeout_s=0.2)
        except EngineError:
            took = time.monotonic() - begun
            if took > 2.5:
                fail(f"a limit of 0.2 s was kept after {took:.1f} s")
            return
    fail("a command of 3 s ended within 0.2 s, it says")


@check(3, "launcher")
def run_on_leaves_no_process(subject: Subject) -> None:
    """A command that ran out of time is ended, with all that it started.

    To fix: end the whole process group on the host, not only the connection to it.
    """
    mark = f"{MARK}{uuid.uuid4()}"
    with _host(subject) as (launcher, host, _):
        with contextlib.suppress(EngineError):
            script = 'sh -c "sleep 9; true" "$0" & wait'
            launcher.run_on(host, ("sh", "-c", script, mark), timeout_s=1.0)
        fail_if_alive(command_lines(mark), "after a time limit")


@check(3, "launcher")
def put_and_get_keep_every_byte(subject: Subject) -> None:
    """A file that is put on a host and got back is the same.

    To fix: copy bytes, not text.
    """
    content = bytes(range(256)) * 64 + b"\r\n\x00"
    with _host(subject) as (launcher, host, folder):
        there = f"{folder}/kit-remote"
        (folder / "kit-put").write_bytes(content)
        launcher.put(host, folder / "kit-put", there)
        launcher.get(host, there, folder / "kit-got")
        if (folder / "kit-got").read_bytes() != content:
            fail("what was got is not what was put")


@check(3, "launcher")
def attach_rejects_unknown_deployments(subject: Subject) -> None:
    """`attach` of a deployment that there is none of raises EngineError.

    To fix: look it up before making a Deployment of it.
    """
    with launcher_of(subject) as (launcher, _):
        try:
            launcher.attach(f"kit-{uuid.uuid4()}")
        except EngineError:
            return
        except Exception as error:
            fail(f"raised {type(error).__name__}: {error}")
    fail("it found a deployment that nobody started")
