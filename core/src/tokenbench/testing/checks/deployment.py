"""Deployments: symbols are bound, secrets are kept, all is told of, and gone afterwards."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import socket
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import attrs

from tokenbench.api import BenchError, EndpointSpec, FileSpec, LaunchPlan, ProcessSpec, Resources
from tokenbench.launch.control import ControlClient
from tokenbench.testing.kit import Subject, check, fail, skip
from tokenbench.testing.samples.launches import server_plan, shell_plan
from tokenbench.testing.samples.running import (
    GONE_LIMIT_S,
    MARK,
    Running,
    command_lines,
    fail_if_alive,
    launcher_of,
    started,
    wait,
)

_WAIT = "exec sleep 60"
_DIGEST = (
    "import hashlib, os, time; value = os.environ.get('KIT_KEY', '').encode();"
    "print('digest', hashlib.sha256(value).hexdigest(), flush=True); time.sleep(60)"
)
_SECRET = "TOKENBENCH_KIT_SECRET"  # noqa: S105 - the name of a variable


# -- starting ------------------------------------------------------------------------------------


@check(3, "launcher")
def endpoints_answer(subject: Subject) -> None:
    """The endpoint's URL is where the server answers.

    To fix: bind the plan's endpoints with the ports that the processes got.
    """
    with started(subject, server_plan()) as running:
        client = ControlClient(running.deployment.endpoints)
        try:
            if not wait(lambda: _healthy(client)):
                fail(f"no answer from {running.deployment.endpoints}")
        finally:
            client.close()


def _healthy(client: ControlClient) -> bool:
    try:
        return client.get("/health").status == 200
    except (ConnectionError, IndexError):
        return False


@check(3, "launcher")
def status_lists_every_process(subject: Subject) -> None:
    """`status()` has each replica with its role and index, running, with exit code None.

    To fix: keep every process that was started, in order.
    """
    plan = shell_plan(_WAIT)
    plan = attrs.evolve(plan, processes=(attrs.evolve(plan.processes[0], replicas=2),))
    with started(subject, plan) as running:
        told = [(s.role, s.index, s.exit_code) for s in running.deployment.status()]
    if sorted(told, key=str) != [("server", 0, None), ("server", 1, None)]:
        fail(f"two running replicas are told as {told}")


@check(3, "launcher")
def logs_contain_output(subject: Subject) -> None:
    """`logs(role)` has what the processes of that role wrote to stdout and stderr.

    To fix: send both to the log, and read its last lines.
    """
    with started(subject, shell_plan(f"echo kit-out; echo kit-err >&2; {_WAIT}")) as running:
        told = running.deployment.logs
        if not wait(lambda: {"kit-out", "kit-err"} <= set(told("server").split()), GONE_LIMIT_S):
            fail(f"logs('server') is {told('server')!r}")


@check(3, "launcher")
def logs_are_in_the_log_folder(subject: Subject) -> None:
    """The log of each process is ROLE-INDEX.log in `context.logs`, where users look for it.

    To fix: write it there, or copy it when the process has ended.
    """
    with started(subject, shell_plan(f"echo kit-out; {_WAIT}")) as running:
        running.said(until="kit-out")
        running.deployment.cancel()
        file = running.logs / "server-0.log"
        if not file.is_file() or "kit-out" not in file.read_text():
            fail(f"{file.name} is not there, or does not have what the process said")


@check(3, "launcher")
def exit_codes_are_reported(subject: Subject) -> None:
    """A process that dies while it serves has its exit code in `status()`.

    To fix: ask the process, not whether it was started.
    """
    with started(subject, shell_plan("sleep 0.1; exit 7")) as running:
        told = running.deployment.status
        if not wait(lambda: [s.exit_code for s in told()] == [7], GONE_LIMIT_S):
            fail(f"a process that ended with 7 is told as {told()}")


@check(3, "launcher")
def own_symbols_are_bound(subject: Subject) -> None:
    """{host}, {port:http}, {cpus}, {weights} and {devices} have this replica's values.

    To fix: see tokenbench.api.bind_process, which takes them as facts.
    """
    script = f'echo "kit:$1:$2:$3:$4:$5:"; {_WAIT}'
    plan = shell_plan(script, "{host}", "{port:http}", "{cpus}", "{weights}", "{devices}")
    with started(subject, plan, weights="kit/weights") as running:
        said = running.said(until="kit:").strip().split(":")[1:6]
        places = running.allocation.placements
    host, port, cpus, weights, devices = said
    if not (cpus.isdigit() and int(cpus) and weights == "kit/weights" and devices == ""):
        fail(f"cpus {cpus!r}, weights {weights!r}, devices {devices!r}")
    if places and (host, port) != (places[0].host.address, str(places[0].ports["http"])):
        fail(f"host {host!r}, port {port!r}, but placed at {places[0]}")


@check(3, "launcher")
def roles_find_each_other(subject: Subject) -> None:
    """{ROLE.0.host} and {ROLE.0.port:http} of another role are bound, whichever starts first.

    To fix: choose the ports of all processes before starting any.
    """
    script = f'echo "kit:$1:$2:"; {_WAIT}'
    processes = tuple(
        ProcessSpec(
            role=role,
            argv=("sh", "-c", script, "sh", f"{{{other}.0.host}}", f"{{{other}.0.port:http}}"),
        )
        for role, other in (("router", "worker"), ("worker", "router"))
    )
    with started(subject, LaunchPlan(processes=processes, endpoints=())) as running:
        said = {
            other: tuple(running.said(role, until="kit:").strip().split(":")[1:3])
            for role, other in (("router", "worker"), ("worker", "router"))
        }
        for place in running.allocation.placements:
            where = (place.host.address, str(place.ports["http"]))
            if said[place.role] != where:
                fail(f"{place.role} is at {where}, the other was told {said[place.role]}")


@check(3, "launcher")
def plan_without_processes_has_endpoints(subject: Subject) -> None:
    """A server that is already up: its endpoints are given, nothing is started or stopped.

    To fix: bind the endpoints, and let status() be empty.
    """
    url = "http://127.0.0.1:9"
    with started(subject, LaunchPlan(endpoints=(EndpointSpec(url=url),))) as running:
        urls = [endpoint.url for endpoint in running.deployment.endpoints]
        if urls != [url] or running.deployment.status():
            fail(f"endpoints {urls}, processes {running.deployment.status()}")


@check(3, "launcher")
def failed_start_leaves_no_process(subject: Subject) -> None:
    """When a later process cannot be started, those before it are stopped, and a BenchError says
    why.

    To fix: cancel what was started before raising.
    """
    mark = f"{MARK}{uuid.uuid4()}"
    waits = (sys.executable, "-c", "import time; time.sleep(60)", mark)
    sound = ProcessSpec(role="sound", argv=waits)
    broken = ProcessSpec(role="broken", argv=(*waits, "{nobody.0.port:http}"))
    plan = LaunchPlan(processes=(sound, broken), endpoints=())
    with launcher_of(subject) as (launcher, _):
        allocation = launcher.allocate(Resources(processes=plan.processes))
        try:
            deployment = launcher.start(plan, allocation)
        except BenchError:
            fail_if_alive(command_lines(mark), "after a start that failed")
            return
        deployment.cancel()
        fail("a process with a symbol that nothing is known for was started")


# -- secrets and files ---------------------------------------------------------------------------


@contextlib.contextmanager
def _secret() -> Iterator[str]:
    """A secret in this process's environment, as a user has one."""
    value = f"kit-{uuid.uuid4()}"
    os.environ[_SECRET] = value
    try:
        yield value
    finally:
        del os.environ[_SECRET]


def _secret_plan() -> LaunchPlan:
    process = ProcessSpec(
        argv=(sys.executable, "-c", _DIGEST), environment={"KIT_KEY": f"{{secret:{_SECRET}}}"}
    )
    return LaunchPlan(processes=(process,), endpoints=())


@check(3, "launcher")
def secrets_reach_the_process(subject: Subject) -> None:
    """{secret:NAME} in a variable has the value of the user's variable NAME.

    To fix: hand bind_process the environment as `secrets`, and start with what it gives.
    """
    with _secret() as value, started(subject, _secret_plan()) as running:
        digest = running.said(until="digest ").split("digest ")[1].split()[0]
    if digest != hashlib.sha256(value.encode()).hexdigest():
        fail("the process got another value than the user's")


@check(3, "launcher")
def secrets_stay_out_of_command_lines(subject: Subject) -> None:
    """No process of the machine has the secret in its arguments, which all users can read.

    To fix: pass the environment as such, not through `env NAME=VALUE` or `sh -c`.
    """
    with _secret() as value, started(subject, _secret_plan()) as running:
        running.said(until="digest ")
        if command_lines(value):
            fail("a command line has the secret in it")


@check(3, "launcher")
def secrets_stay_out_of_logs(subject: Subject) -> None:
    """Neither `logs()` nor a file in the log folder has the secret.

    To fix: never write a process's environment anywhere.
    """
    with _secret() as value, started(subject, _secret_plan()) as running:
        texts = [running.said(until="digest "), running.deployment.logs("server")]
        texts += [f.read_text(errors="replace") for f in running.logs.rglob("*") if f.is_file()]
    if any(value in text for text in texts):
        fail("a log has the secret in it")


@check(3, "launcher")
def files_are_written_verbatim(subject: Subject) -> None:
    """A FileSpec's content is at {file:NAME} to the last byte; symbols in it are not bound.

    To fix: write `content` in UTF-8 without touching it.
    """
    content = '{"at": "{host}", "é": 1}\n\n'
    plan = shell_plan(f'cat "$1"; echo "kit-end"; {_WAIT}', "{file:kit.json}")
    process = attrs.evolve(plan.processes[0], files=(FileSpec(name="kit.json", content=content),))
    with started(subject, attrs.evolve(plan, processes=(process,))) as running:
        said = running.said(until="kit-end").partition("kit-end")[0]
    if said != content:
        fail(f"wrote {content!r}, the process read {said!r}")


@check(3, "launcher")
def scratch_is_created_and_removed(subject: Subject) -> None:
    """{scratch} is a folder while the process runs, and gone after cancel().

    To fix: make it before the start; remove it when the last process has ended.
    """
    script = f'test -d "$1" && echo "kit:$1:"; echo kit-end; {_WAIT}'
    with started(subject, shell_plan(script, "{scratch}")) as running:
        found = re.search(r"kit:(.*):", running.said(until="kit-end"))
        if found is None:
            fail("{scratch} is no folder of the running process")
        running.deployment.cancel()
        if not wait(lambda: not Path(found[1]).exists(), GONE_LIMIT_S):
            shutil.rmtree(found[1], ignore_errors=True)
            fail(f"{found[1]} is left after cancel()")


# -- stopping ------------------------------------------------------------------------------------


@check(3, "launcher")
def cancel_may_be_called_twice(subject: Subject) -> None:
    """The second cancel() does nothing.

    To fix: remember that all is stopped.
    """
    with started(subject, shell_plan(_WAIT)) as running:
        running.deployment.cancel()
        try:
            running.deployment.cancel()
        except Exception as error:
            fail(f"the second cancel() raised {type(error).__name__}: {error}")


@check(3, "launcher")
def cancel_stops_every_replica(subject: Subject) -> None:
    """After cancel() no process of the deployment is left.

    To fix: stop all of them, then wait for all of them.
    """
    plan = shell_plan(_WAIT)
    plan = attrs.evolve(plan, processes=(attrs.evolve(plan.processes[0], replicas=2),))
    with started(subject, plan) as running:
        pids = running.pids() or skip("it tells no process of this machine")
        running.deployment.cancel()
        fail_if_alive(pids, "after cancel()")


@check(3, "launcher")
def cancel_stops_child_processes(subject: Subject) -> None:
    """Workers that a server forked end with it.

    To fix: put each process into a session or a control group of its own, and end all of that.
    """
    with started(subject, shell_plan('sleep 60 & echo "kit:$!:"; wait')) as running:
        child = int(running.said(until="kit:").split(":")[1])
        running.deployment.cancel()
        fail_if_alive([child], "a child of a process, after cancel()")


@check(3, "launcher")
def cancel_frees_the_port(subject: Subject) -> None:
    """The port can be bound again after cancel(), for the next server.

    To fix: wait until the process is gone, and hold no socket on it.
    """
    with started(subject, server_plan()) as running:
        port = int(_listening(running)[1])
        running.deployment.cancel()
        if not wait(lambda: _bindable(port), GONE_LIMIT_S):
            fail(f"port {port} is still taken after cancel()")


@check(3, "launcher")
def unready_server_can_be_cancelled(subject: Subject) -> None:
    """start() does not wait for readiness: core does, and cancels when it takes too long.

    To fix: return from start() once the processes run.
    """
    with started(subject, server_plan("--never-ready")) as running:
        _listening(running)
        pids = running.pids()
        running.deployment.cancel()
        fail_if_alive(pids, "a server that was never ready, after cancel()")


def _listening(running: Running) -> re.Match[str]:
    """What the scripted server says when it listens: its own address and port."""
    found = re.search(r"127\.0\.0\.1:(\d+)\n?", running.said(until="listening on "))
    return found or fail("the server does not say where it listens")


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
