"""Launchers with faulty deployments; everything else is done by the local launcher."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

from tokenbench.api import (
    Allocation,
    CommandResult,
    Deployment,
    EngineError,
    LauncherContext,
    LaunchPlan,
    PluginError,
    ProcessState,
)
from tokenbench.launch.control import ControlClient
from tokenbench.launch.local import LocalDeployment, LocalLauncher
from tokenbench.testing.kit import Subject

from .launcher import subject_of, with_context


def _reap_later(*left: subprocess.Popen[bytes]) -> None:
    """Wait for processes that the kit will kill: otherwise Python warns about unreaped children."""
    for popen in left:
        threading.Thread(target=popen.wait, daemon=True).start()


# -- starting ------------------------------------------------------------------------------------


def _starts(change: Callable[[LaunchPlan, LauncherContext], LaunchPlan]) -> Subject:
    """A launcher that changes a plan before it starts it."""

    class Bad(LocalLauncher):
        def start(self, plan: LaunchPlan, allocation: Allocation) -> LocalDeployment:
            return super().start(change(plan, self._context), allocation)

    return subject_of(Bad)


def _processes(plan: LaunchPlan, change: Callable[..., Any]) -> LaunchPlan:
    return attrs.evolve(plan, processes=tuple(map(change, plan.processes)))


def _no_secrets(plan: LaunchPlan, context: LauncherContext) -> LaunchPlan:
    return _processes(
        plan,
        lambda p: attrs.evolve(
            p, environment={k: v for k, v in p.environment.items() if "secret:" not in v}
        ),
    )


def _secrets(process: Any) -> list[str]:
    names = [text[8:-1] for text in process.environment.values() if "secret:" in text]
    return [os.environ[name] for name in names]


def _secrets_in_argv(plan: LaunchPlan, context: LauncherContext) -> LaunchPlan:
    shell = ("sh", "-c", '"$@"; exit $?')
    return _processes(
        plan,
        lambda p: attrs.evolve(p, argv=(*shell, *s, *p.argv)) if (s := _secrets(p)) else p,
    )


def _secrets_in_log(plan: LaunchPlan, context: LauncherContext) -> LaunchPlan:
    for process in plan.processes:
        if _secrets(process):
            (context.logs / "launcher.txt").write_text(f"starting with {_secrets(process)}")
    return plan


def _stripped_files(plan: LaunchPlan, context: LauncherContext) -> LaunchPlan:
    return _processes(
        plan,
        lambda p: attrs.evolve(
            p, files=tuple(attrs.evolve(f, content=f.content.strip()) for f in p.files)
        ),
    )


class OneByOne(LocalLauncher):
    """Knows only the role that it started first."""

    def start(self, plan: LaunchPlan, allocation: Allocation) -> LocalDeployment:
        first = [p for p in allocation.placements if p.role == allocation.placements[0].role]
        return super().start(plan, attrs.evolve(allocation, placements=tuple(first)))


class Untidy(LocalLauncher):
    def start(self, plan: LaunchPlan, allocation: Allocation) -> LocalDeployment:
        try:
            return super().start(plan, allocation)
        except PluginError:
            if len(plan.processes) > 1:
                left = super().start(attrs.evolve(plan, processes=plan.processes[:1]), allocation)
                _reap_later(*(process._popen for _, _, process in left._processes))
                atexit.register(shutil.rmtree, left._scratch, ignore_errors=True)
            raise


class Patient(LocalLauncher):
    """Waits until the server is ready."""

    def start(self, plan: LaunchPlan, allocation: Allocation) -> LocalDeployment:
        deployment = super().start(plan, allocation)
        client = ControlClient(deployment.endpoints)
        deadline = time.monotonic() + 2
        try:
            while plan.processes and plan.endpoints:
                with contextlib.suppress(ConnectionError):
                    if client.get("/health").status == 200:
                        break
                if time.monotonic() > deadline:
                    deployment.cancel()
                    raise EngineError("the server is not ready", hint="wait longer")
                time.sleep(0.02)
        finally:
            client.close()
        return deployment


class ServersOnly(LocalLauncher):
    def start(self, plan: LaunchPlan, allocation: Allocation) -> LocalDeployment:
        if not plan.processes:
            raise PluginError("nothing to start", hint="add a process")
        return super().start(plan, allocation)


# -- deployments ---------------------------------------------------------------------------------


class Wrapped(Deployment):
    """A wrapper of a local deployment; subclasses have one fault."""

    def __init__(self, inner: LocalDeployment) -> None:
        self.inner = inner
        self.id = inner.id
        self.cancelled = False

    @property
    def endpoints(self) -> Any:
        return self.inner.endpoints

    def status(self) -> Sequence[ProcessState]:
        return self.inner.status()

    def logs(self, role: str, *, lines: int = 200) -> str:
        return self.inner.logs(role, lines=lines)

    def cancel(self) -> None:
        self.inner.cancel()


class WrongPort(Wrapped):
    @property
    def endpoints(self) -> Any:
        # Port 9 is in a literal URL, which has no symbol to bind.
        return tuple(
            e if e.url.endswith(":9") else attrs.evolve(e, url="http://127.0.0.1:9")
            for e in self.inner.endpoints
        )


class FirstOnly(Wrapped):
    def status(self) -> Sequence[ProcessState]:
        return self.inner.status()[:1]


class Silent(Wrapped):
    def logs(self, role: str, *, lines: int = 200) -> str:
        return ""


class Immortal(Wrapped):
    def status(self) -> Sequence[ProcessState]:
        return [attrs.evolve(state, exit_code=None) for state in self.inner.status()]


class KeepsScratch(Wrapped):
    def cancel(self) -> None:
        super().cancel()
        if self.inner._scratch is not None and not self.cancelled:
            (self.inner._scratch / "server-0").mkdir(parents=True)
            atexit.register(shutil.rmtree, self.inner._scratch, ignore_errors=True)
        self.cancelled = True


class OnceOnly(Wrapped):
    def cancel(self) -> None:
        if self.cancelled:
            raise ProcessLookupError("no such process")
        self.cancelled = True
        super().cancel()


class StopsTheFirst(Wrapped):
    def cancel(self) -> None:
        _reap_later(*(process._popen for _, _, process in self.inner._processes[1:]))
        self.inner._processes[:] = self.inner._processes[:1]
        super().cancel()


class KillsTheProcess(Wrapped):
    """Ignores child processes. The supervisor cannot help when it is killed, nor can who looks for
    the processes of a scratch folder.
    """

    def cancel(self) -> None:
        for _, _, process in self.inner._processes:
            process._scratch = Path("forgotten")
            process._popen.kill()
            process._popen.wait()
        super().cancel()


class HoldsThePort(Wrapped):
    def cancel(self) -> None:
        super().cancel()
        for endpoint in () if self.cancelled else self.inner.endpoints:
            holder = socket.socket()
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                holder.bind(("127.0.0.1", int(endpoint.url.rpartition(":")[2])))
            except OSError:
                holder.close()
            else:
                holder.listen()
                holder.detach()  # open for as long as the process lives
        self.cancelled = True


def _wrapped(wrapper: type[Wrapped]) -> Subject:
    class Bad(LocalLauncher):
        def start(self, plan: LaunchPlan, allocation: Allocation) -> Any:
            return wrapper(super().start(plan, allocation))

    return subject_of(Bad)


# -- hosts ---------------------------------------------------------------------------------------


class Merges(LocalLauncher):
    def run_on(self, host: str, argv: Sequence[str], *, timeout_s: float) -> CommandResult:
        done = super().run_on(host, argv, timeout_s=timeout_s)
        return attrs.evolve(done, stdout=done.stdout + done.stderr, stderr="")


class Waits(LocalLauncher):
    def run_on(self, host: str, argv: Sequence[str], *, timeout_s: float) -> CommandResult:
        return super().run_on(host, argv, timeout_s=60)


class Forgets(LocalLauncher):
    def run_on(self, host: str, argv: Sequence[str], *, timeout_s: float) -> CommandResult:
        try:
            return super().run_on(host, argv, timeout_s=timeout_s)
        except EngineError:
            _reap_later(subprocess.Popen(argv))
            raise


class TextOnly(LocalLauncher):
    def put(self, host: str, local: Path, remote: str) -> None:
        Path(remote).write_text(local.read_text(errors="replace"))


class AttachesAnything(LocalLauncher):
    def attach(self, id: str) -> Deployment:
        return LocalDeployment(id, (), [], None)


class LogsElsewhere(LocalLauncher):
    def __init__(self, context: LauncherContext) -> None:
        (context.logs / "elsewhere").mkdir(exist_ok=True)
        super().__init__(attrs.evolve(context, logs=context.logs / "elsewhere"))


GOOD = [subject_of(LocalLauncher), subject_of(AttachesAnything, here=False)]
BAD = {
    "endpoints-answer": _wrapped(WrongPort),
    "status-lists-every-process": _wrapped(FirstOnly),
    "logs-contain-output": _wrapped(Silent),
    "logs-are-in-the-log-folder": subject_of(LogsElsewhere),
    "exit-codes-are-reported": _wrapped(Immortal),
    "own-symbols-are-bound": with_context(weights="other/weights"),
    "roles-find-each-other": subject_of(OneByOne),
    "plan-without-processes-has-endpoints": subject_of(ServersOnly),
    "failed-start-leaves-no-process": subject_of(Untidy),
    "secrets-reach-the-process": _starts(_no_secrets),
    "secrets-stay-out-of-command-lines": _starts(_secrets_in_argv),
    "secrets-stay-out-of-logs": _starts(_secrets_in_log),
    "files-are-written-verbatim": _starts(_stripped_files),
    "scratch-is-created-and-removed": _wrapped(KeepsScratch),
    "cancel-may-be-called-twice": _wrapped(OnceOnly),
    "cancel-stops-every-replica": _wrapped(StopsTheFirst),
    "cancel-stops-child-processes": _wrapped(KillsTheProcess),
    "cancel-frees-the-port": _wrapped(HoldsThePort),
    "unready-server-can-be-cancelled": subject_of(Patient),
    "run-on-reports-the-result": subject_of(Merges),
    "run-on-enforces-its-time-limit": subject_of(Waits),
    "run-on-leaves-no-process": subject_of(Forgets),
    "put-and-get-keep-every-byte": subject_of(TextOnly),
    "attach-rejects-unknown-deployments": subject_of(AttachesAnything),
}
ALSO: dict[str, set[str]] = {}
