"""Levels 3 and 4: questions to a server that is late, ignorant or dead; the real server."""

from __future__ import annotations

import contextlib
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tokenbench.api import (
    BenchError,
    EngineError,
    FrozenMap,
    LauncherContext,
    LaunchPlan,
    ProcessSpec,
    Resources,
)
from tokenbench.launch.control import ControlClient
from tokenbench.launch.local import LocalLauncher
from tokenbench.load.codecs import find_codec
from tokenbench.plan.planner import make_plan
from tokenbench.plan.resolve import resolve
from tokenbench.plugins.instances import PluginInstances
from tokenbench.plugins.registry import PluginRegistry
from tokenbench.run.running_server import RunningServer
from tokenbench.run.weights import locate
from tokenbench.suite.schema import DeploymentRequest, PluginRef, Suite
from tokenbench.testing.kit import Subject, check, fail, skip

from .engine import make

_UP_S = 20.0


@contextlib.contextmanager
def _scripted(*script: str) -> Iterator[ControlClient]:
    """The scripted server, up, and a client for it."""
    argv = (sys.executable, "-m", "tokenbench.testing.server", "--port", "{port:http}", *script)
    process = ProcessSpec(argv=argv)
    with tempfile.TemporaryDirectory(prefix="tokenbench-kit-") as logs:
        launcher = LocalLauncher(LauncherContext(logs=Path(logs)))
        allocation = launcher.allocate(Resources(processes=(process,)))
        deployment = launcher.start(LaunchPlan(processes=(process,)), allocation)
        try:
            with contextlib.closing(
                ControlClient(deployment.endpoints, api_key_env=None)
            ) as client:
                _wait(client)
                yield client
        finally:
            deployment.cancel()


def _wait(client: ControlClient) -> None:
    deadline = time.monotonic() + _UP_S
    while True:
        with contextlib.suppress(ConnectionError, BenchError):
            client.get("/health")
            return
        if time.monotonic() > deadline:
            skip("the scripted server did not start on this machine")
        time.sleep(0.05)


def _questions(subject: Subject) -> dict[str, tuple[Callable[[Any], Any], tuple[type, ...]]]:
    """Every question to a server, and the types of its answers."""
    engine = make(subject)
    none = type(None)
    return {
        "ready": (engine.ready, (bool,)),
        "version": (engine.version, (str, none)),
        "facts": (engine.facts, (FrozenMap,)),
        "quiescent": (engine.quiescent, (bool, none)),
        "reset_cache": (engine.reset_cache, (bool,)),
    }


@check(3, "engine")
def ready_means_ready(subject: Subject) -> None:
    """`ready` of a server that says that it is not is False (or a ConnectionError), never True.

    To fix: look at the status of the answer, not only that there is one.
    """
    ready = _questions(subject)["ready"][0]
    with _scripted("--never-ready") as client:
        for _ in range(3):
            with contextlib.suppress(ConnectionError, EngineError):
                if ready(client):
                    fail("it says ready of a server that answers 503")


@check(3, "engine")
def unknown_paths_are_handled(subject: Subject) -> None:
    """A server that knows none of the engine's paths (404, `{}`) gets honest answers: None, empty,
    False; the only errors are ConnectionError and EngineError.

    To fix: look at `reply.status` before reading `reply.text`.
    """
    with _scripted() as client:
        for name, (ask, types) in _questions(subject).items():
            try:
                answer = ask(client)
            except (ConnectionError, EngineError):
                continue
            except Exception as error:
                fail(f"{name}() raises {type(error).__name__}: {error}")
            if not isinstance(answer, types):
                fail(f"{name}() answers {answer!r}")


@check(3, "engine")
def dead_servers_are_handled(subject: Subject) -> None:
    """Asked of a server that has died, every question is answered or raises ConnectionError (or
    EngineError), which core turns into the server's death.

    To fix: let ConnectionError pass.
    """
    with _scripted() as client:
        endpoints = client.endpoints
    with contextlib.closing(ControlClient(endpoints, api_key_env=None)) as client:
        for name, (ask, _) in _questions(subject).items():
            try:
                ask(client)
            except (ConnectionError, EngineError):
                continue
            except Exception as error:
                fail(f"{name}() of a dead server raises {type(error).__name__}: {error}")


@check(4, "engine")
def the_real_server_serves(subject: Subject) -> None:
    """Started with the author's real model it generates, tells its version, counts what it
    generated where it declares counters, and leaves nothing behind when it is stopped twice.

    To fix: run `bench run` with it and read the server's log.
    """
    model = subject.want("real", "the name of an installed model that it can run on this machine")
    plugins = PluginInstances(PluginRegistry())
    asked = DeploymentRequest(engine=PluginRef(subject.name, FrozenMap(subject.given)), model=model)
    (plan,) = make_plan(resolve(Suite(deployments=(asked,)), plugins), plugins).deployments
    with tempfile.TemporaryDirectory(prefix="tokenbench-kit-") as logs:
        weights = plan.request.weights
        context = LauncherContext(
            logs=Path(logs),
            weights=locate(weights) if weights else None,
            devices=tuple(d.handle or str(d.index) for d in plan.devices),
        )
        serving = RunningServer(
            spec=subject.spec,
            engine=plugins.engine(asked.engine),
            request=plan.request,
            plan=plan.launch,
            launcher=plugins.launcher(asked.launcher, context),
            codec=lambda name: find_codec(name, plugins.codec_module(name)),
            interrupted=lambda: False,
            log_folder=Path(logs),
        )
        try:
            with serving:
                _look(subject, serving)
                port = int(serving.url.rpartition(":")[2].partition("/")[0])
        finally:
            serving.stop()
    _must_be_free(port)


def _look(subject: Subject, serving: RunningServer) -> None:
    if serving.version is None:
        fail("the running server has no version")
    if subject.spec.capabilities.counters:
        page = serving.control.get("/metrics").text
        counted = serving.engine.counters(page).generated_tokens
        if not counted:
            fail(f"after a generation its counters say {counted} generated tokens")


def _must_be_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            fail(f"port {port} is still taken after the server was stopped")
