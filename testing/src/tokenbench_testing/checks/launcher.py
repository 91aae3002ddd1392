"""Launchers: hosts, and channels to them. Core does the rest; core's own tests cover it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator, Sequence

from tokenbench.api import Host, Launcher, ProcessSpec, Resources
from tokenbench.harness.servers import launched
from tokenbench_testing.kit import Subject, check, fail, skip
from tokenbench_testing.samples.launches import server_plan

LIMIT_S = 20.0
_ARGUMENTS = ("a b", "'", '"', "$HOME", "`id`", "a\nb", "", "*", "é", "--", "\\", ";true")
_SHOW = "import json, sys; print(json.dumps(sys.argv[1:]))"
_ONE = (ProcessSpec(argv=("x",)),)
_NOT_HERE = "its author set here=False: it cannot give hosts on this machine"


def make(subject: Subject) -> Launcher:
    """A new launcher of the subject."""
    made = subject.create()
    if not isinstance(made, Launcher):
        fail(f"the factory returned a {type(made).__name__}, not a Launcher")
    return made


# -- hosts ---------------------------------------------------------------------------------------


@check(2, "launcher")
def launcher_factory_returns_a_launcher(subject: Subject) -> None:
    """`factory(options, context)` returns a `tokenbench.api.Launcher`.

    To fix: derive the class from Launcher and return an instance of it.
    """
    make(subject)


@contextlib.contextmanager
def _allocated(subject: Subject, processes: tuple[ProcessSpec, ...] = _ONE) -> Iterator[_Given]:
    if subject.data.get("here", True) is False:
        skip(_NOT_HERE)
    launcher = make(subject)
    given = launcher.allocate(Resources(processes=processes))
    try:
        yield launcher, given.hosts
    finally:
        launcher.release(given)


_Given = tuple[Launcher, tuple[Host, ...]]


@check(2, "launcher")
def nothing_can_be_allocated(subject: Subject) -> None:
    """Resources without processes can be allocated: a running server needs none.

    To fix: return an Allocation, with or without hosts.
    """
    with _allocated(subject, ()):
        pass


@check(2, "launcher")
def hosts_are_distinct(subject: Subject) -> None:
    """An allocation has at least one host; names and addresses differ.

    To fix: name each host once.
    """
    with _allocated(subject) as (_, hosts):
        if not hosts:
            fail("an allocation for a process has no host")
        for what in ("name", "address"):
            found = [getattr(host, what) for host in hosts]
            if len(set(found)) < len(found) or not all(found):
                fail(f"the hosts have the {what} {found}")


@check(2, "launcher")
def hosts_can_be_released_and_allocated_again(subject: Subject) -> None:
    """`release` gives them back; the same launcher can allocate again.

    To fix: keep nothing of an allocation that was released.
    """
    if subject.data.get("here", True) is False:
        skip(_NOT_HERE)
    launcher = make(subject)
    for _ in range(2):
        launcher.release(launcher.allocate(Resources(processes=_ONE)))


# -- channels ------------------------------------------------------------------------------------


@contextlib.contextmanager
def _channel(
    subject: Subject, argv: Sequence[str], *, python: bool = False
) -> Iterator[subprocess.Popen[bytes]]:
    """A command through the channel to the first host. It is ended at the end of the block."""
    with _allocated(subject) as (launcher, hosts):
        command = (hosts[0].python, *argv) if python else argv
        process = subprocess.Popen(
            tuple(launcher.channel(hosts[0], command)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def _output(
    process: subprocess.Popen[bytes], given: bytes = b"", limit_s: float = LIMIT_S
) -> tuple[bytes, bytes]:
    try:
        return process.communicate(given, timeout=limit_s)
    except subprocess.TimeoutExpired:
        fail(f"the command did not end within {limit_s:g} s of the end of its input")


@check(3, "launcher")
def channels_carry_every_byte(subject: Subject) -> None:
    """Standard input and output are connected, and nothing is changed on the way.

    To fix: use no terminal (`ssh -T`, no `docker run -t`), which changes line ends.
    """
    content = bytes(range(256)) * 512 + b"\r\n\x00\x03\x04"
    with _channel(subject, ("cat",)) as process:
        out, _ = _output(process, content)
    # A login shell may print a greeting first.
    if not out.endswith(content):
        fail(f"of {len(content)} bytes that went through `cat`, {len(out)} came back changed")


@check(3, "launcher")
def channels_keep_arguments(subject: Subject) -> None:
    """The command gets its arguments as they are: with spaces, quotes, line ends, or empty.

    To fix: where a remote shell reads the command, quote it with `shlex.join`.
    """
    with _channel(subject, ("-c", _SHOW, *_ARGUMENTS), python=True) as process:
        out, err = _output(process)
    try:
        found = json.loads(out.decode().strip().splitlines()[-1])
    except (ValueError, IndexError):
        fail(f"Python could not be run: {err.decode(errors='replace')[-300:]}")
    if tuple(found) != _ARGUMENTS:
        fail(f"the arguments {_ARGUMENTS} arrived as {tuple(found)}")


@check(3, "launcher")
def errors_are_apart_from_output(subject: Subject) -> None:
    """Standard error does not come through standard output, which carries messages.

    To fix: use no terminal, and do not merge the two.
    """
    with _channel(subject, ("sh", "-c", "echo kit-err >&2; echo kit-out")) as process:
        out, _ = _output(process)
    if b"kit-out" not in out or b"kit-err" in out:
        fail(f"the output of a command that also wrote an error is {out!r}")


@check(3, "launcher")
def channels_end_with_their_input(subject: Subject) -> None:
    """When the input of the channel ends, so does that of the command; the channel ends with it.

    To fix: keep standard input attached (`docker exec -i`, `srun` without `--input=none`).
    """
    with _channel(subject, ("sh", "-c", "cat >/dev/null; echo kit-end")) as process:
        out, _ = _output(process, limit_s=subject.data.get("limit_s", LIMIT_S))
    if b"kit-end" not in out:
        fail(f"the command did not see the end of its input: {out!r}")


# -- deployments ---------------------------------------------------------------------------------


@check(3, "launcher")
def a_server_answers(subject: Subject) -> None:
    """The scripted server, started through the channel, answers at its endpoint.

    To fix: give each host an address that this machine reaches.
    """
    if subject.data.get("here", True) is False:
        skip(_NOT_HERE)
    with launched(server_plan(), make(subject)) as (client, _):
        deadline = time.monotonic() + subject.data.get("limit_s", LIMIT_S)
        while True:
            with contextlib.suppress(ConnectionError):
                if client.get("/health").status == 200:
                    return
            if time.monotonic() > deadline:
                fail(f"no answer from {client.endpoints}")
            time.sleep(0.05)
