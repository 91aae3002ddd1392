"""Deployments: bind symbols, protect secrets, report all processes, and stop them."""

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


# -- start ---------------------------------------------------------------------------------------


@check(3, "launcher")
def endpoints_answer(subject: Subject) -> None:
    """The server answers at the endpoint's URL.

    To fix: bind the plan's endpoints to the ports of the processes.
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
    """`status()` lists each replica with role and index; while it runs, its exit code is None.

    To fix: keep every started process, in order.
    """
    plan = shell_plan(_WAIT)
    plan = attrs.evolve(plan, processes=(attrs.evolve(plan.processes[0], replicas=2),))
    with started(subject, plan) as running:
        found = [(s.role, s.index, s.exit_code) for s in running.deployment.status()]
    if sorted(found, key=str) != [("server", 0, None), ("server", 1, None)]:
        fail(f"the status of two running replicas is {found}")


@check(3, "launcher")
def logs_contain_output(subject: Subject) -> None:
    """`logs(role)` contains what the role's processes wrote to stdout and stderr.

    To fix: redirect both to the log, and return its last lines.
    """
    with started(subject, shell_plan(f"echo kit-out; echo kit-err >&2; {_WAIT}")) as running:
        logs = running.deployment.logs
        if not wait(lambda: {"kit-out", "kit-err"} <= set(logs("server").split()), GONE_LIMIT_S):
            fail(f"logs('server') is {logs('server')!r}")


@check(3, "launcher")
def logs_are_in_the_log_folder(subject: Subject) -> None:
    """The log of each process is the file ROLE-INDEX.log in `context.logs`.

    To fix: write it there, or copy it when the process has ended.
    """
    with started(subject, shell_plan(f"echo kit-out; {_WAIT}")) as running:
        running.output(until="kit-out")
        running.deployment.cancel()
        file = running.logs / "server-0.log"
        if not file.is_file() or "kit-out" not in file.read_text():
            fail(f"{file.name} is missing, or lacks the output of the process")


@check(3, "launcher")
def exit_codes_are_reported(subject: Subject) -> None:
    """If a process dies, `status()` has its exit code.

    To fix: query the process, not whether it was started.
    """
    with started(subject, shell_plan("sleep 0.1; exit 7")) as running:
        status = running.deployment.status
        if not wait(lambda: [s.exit_code for s in status()] == [7], GONE_LIMIT_S):
            fail(f"the status of a process that exited with 7 is {status()}")


@check(3, "launcher")
def own_symbols_are_bound(subject: Subject) -> None:
    """{host}, {port:http}, {cpus}, {weights} and {devices} have this replica's values.

    To fix: pass these values to tokenbench.api.bind_process.
    """
    script = f'echo "kit:$1:$2:$3:$4:$5:"; {_WAIT}'
    plan = shell_plan(script, "{host}", "{port:http}", "{cpus}", "{weights}", "{devices}")
    with started(subject, plan, weights="kit/weights") as running:
        output = running.output(until="kit:").strip().split(":")[1:6]
        places = running.allocation.placements
    host, port, cpus, weights, devices = output
    if not (cpus.isdigit() and int(cpus) and weights == "kit/weights" and devices == ""):
        fail(f"cpus {cpus!r}, weights {weights!r}, devices {devices!r}")
    if places and (host, port) != (places[0].host.address, str(places[0].ports["http"])):
        fail(f"host {host!r}, port {port!r}, but the placement is {places[0]}")


@check(3, "launcher")
def roles_find_each_other(subject: Subject) -> None:
    """{ROLE.0.host} and {ROLE.0.port:http} of another role are bound, in any start order.

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
        addresses = {
            other: tuple(running.output(role, until="kit:").strip().split(":")[1:3])
            for role, other in (("router", "worker"), ("worker", "router"))
        }
        for place in running.allocation.placements:
            where = (place.host.address, str(place.ports["http"]))
            if addresses[place.role] != where:
                fail(f"{place.role} is at {where}, the other got {addresses[place.role]}")


@check(3, "launcher")
def plan_without_processes_has_endpoints(subject: Subject) -> None:
    """For a server that is already running the endpoints are bound, and nothing is started or
    stopped.

    To fix: bind the endpoints, and let status() be empty.
    """
    url = "http://127.0.0.1:9"
    with started(subject, LaunchPlan(endpoints=(EndpointSpec(url=url),))) as running:
        urls = [endpoint.url for endpoint in running.deployment.endpoints]
        if urls != [url] or running.deployment.status():
            fail(f"endpoints {urls}, processes {running.deployment.status()}")


@check(3, "launcher")
def failed_start_leaves_no_process(subject: Subject) -> None:
    """If a later process cannot be started, those before it are stopped and a BenchError is raised.

    To fix: cancel the started processes before raising.
    """
    mark = f"{MARK}{uuid.uuid4()}"
    waits = (sys.executable, "-c", "import time; time.sleep(60)", mark)
    valid = ProcessSpec(role="valid", argv=waits)
    broken = ProcessSpec(role="broken", argv=(*waits, "{absent.0.port:http}"))
    plan = LaunchPlan(processes=(valid, broken), endpoints=())
    with launcher_of(subject) as (launcher, _):
        allocation = launcher.allocate(Resources(processes=plan.processes))
        try:
            deployment = launcher.start(plan, allocation)
        except BenchError:
            fail_if_alive(command_lines(mark), "after a failed start")
            return
        deployment.cancel()
        fail("a process with an unknown symbol was started")


# -- secrets and files ---------------------------------------------------------------------------


@contextlib.contextmanager
def _secret() -> Iterator[str]:
    """A secret in this process's environment, like a user's."""
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

    To fix: pass the environment to bind_process as `secrets`, and start with its result.
    """
    with _secret() as value, started(subject, _secret_plan()) as running:
        digest = running.output(until="digest ").split("digest ")[1].split()[0]
    if digest != hashlib.sha256(value.encode()).hexdigest():
        fail("the process got a value different from the user's")


@check(3, "launcher")
def secrets_stay_out_of_command_lines(subject: Subject) -> None:
    """No process of the machine has the secret in its arguments, which all users can read.

    To fix: pass the environment directly, not through `env NAME=VALUE` or `sh -c`.
    """
    with _secret() as value, started(subject, _secret_plan()) as running:
        running.output(until="digest ")
        if command_lines(value):
            fail("a command line contains the secret")


@check(3, "launcher")
def secrets_stay_out_of_logs(subject: Subject) -> None:
    """Neither `logs()` nor a file in the log folder contains the secret.

    To fix: do not write a process's environment anywhere.
    """
    with _secret() as value, started(subject, _secret_plan()) as running:
        texts = [running.output(until="digest "), running.deployment.logs("server")]
        texts += [f.read_text(errors="replace") for f in running.logs.rglob("*") if f.is_file()]
    if any(value in text for text in texts):
        fail("a log contains the secret")


@check(3, "launcher")
def files_are_written_verbatim(subject: Subject) -> None:
    """{file:NAME} has exactly the FileSpec's content; symbols in it are not bound.

    To fix: write `content` as UTF-8 without changes.
    """
    content = '{"at": "{host}", "é": 1}\n\n'
    plan = shell_plan(f'cat "$1"; echo "kit-end"; {_WAIT}', "{file:kit.json}")
    process = attrs.evolve(plan.processes[0], files=(FileSpec(name="kit.json", content=content),))
    with started(subject, attrs.evolve(plan, processes=(process,))) as running:
        found = running.output(until="kit-end").partition("kit-end")[0]
    if found != content:
        fail(f"the process read {found!r}, expected {content!r}")


@check(3, "launcher")
def scratch_is_created_and_removed(subject: Subject) -> None:
    """{scratch} is a folder while the process runs, and is removed by cancel().

    To fix: create it before the start; remove it after the last process has ended.
    """
    script = f'test -d "$1" && echo "kit:$1:"; echo kit-end; {_WAIT}'
    with started(subject, shell_plan(script, "{scratch}")) as running:
        found = re.search(r"kit:(.*):", running.output(until="kit-end"))
        if found is None:
            fail("{scratch} is not a folder while the process runs")
        running.deployment.cancel()
        if not wait(lambda: not Path(found[1]).exists(), GONE_LIMIT_S):
            shutil.rmtree(found[1], ignore_errors=True)
            fail(f"{found[1]} still exists after cancel()")


# -- stop ----------------------------------------------------------------------------------------


@check(3, "launcher")
def cancel_may_be_called_twice(subject: Subject) -> None:
    """The second cancel() does nothing.

    To fix: remember that everything is stopped.
    """
    with started(subject, shell_plan(_WAIT)) as running:
        running.deployment.cancel()
        try:
            running.deployment.cancel()
        except Exception as error:
            fail(f"the second cancel() raised {type(error).__name__}: {error}")


@check(3, "launcher")
def cancel_stops_every_replica(subject: Subject) -> None:
    """After cancel() no process of the deployment runs.

    To fix: stop all of them, then wait for all of them.
    """
    plan = shell_plan(_WAIT)
    plan = attrs.evolve(plan, processes=(attrs.evolve(plan.processes[0], replicas=2),))
    with started(subject, plan) as running:
        pids = running.pids() or skip("it reports no process of this machine")
        running.deployment.cancel()
        fail_if_alive(pids, "after cancel()")


@check(3, "launcher")
def cancel_stops_child_processes(subject: Subject) -> None:
    """Child processes of a server end with it.

    To fix: start each process in its own session or control group, and end all of it.
    """
    with started(subject, shell_plan('sleep 60 & echo "kit:$!:"; wait')) as running:
        child = int(running.output(until="kit:").split(":")[1])
        running.deployment.cancel()
        fail_if_alive([child], "child process after cancel()")


@check(3, "launcher")
def cancel_frees_the_port(subject: Subject) -> None:
    """After cancel() the next server can bind the port.

    To fix: wait until the process has ended, and keep no socket on the port.
    """
    with started(subject, server_plan()) as running:
        port = int(_listening(running)[1])
        running.deployment.cancel()
        if not wait(lambda: _bindable(port), GONE_LIMIT_S):
            fail(f"port {port} is still in use after cancel()")


@check(3, "launcher")
def unready_server_can_be_cancelled(subject: Subject) -> None:
    """start() does not wait for readiness: core does, and cancels after a timeout.

    To fix: return from start() once the processes run.
    """
    with started(subject, server_plan("--never-ready")) as running:
        _listening(running)
        pids = running.pids()
        running.deployment.cancel()
        fail_if_alive(pids, "unready server after cancel()")


def _listening(running: Running) -> re.Match[str]:
    """The scripted server's message with its address and port."""
    found = re.search(r"127\.0\.0\.1:(\d+)\n?", running.output(until="listening on "))
    return found or fail("the server did not print its address")


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
