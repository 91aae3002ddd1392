"""Servers on this machine, started as in a run."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from tokenbench.api import FrozenMap, Launcher, LaunchPlan
from tokenbench.launch.control import ControlClient
from tokenbench.launch.deployment import Deployment
from tokenbench.launch.local import LocalLauncher
from tokenbench.launch.placement import Device
from tokenbench.launch.settings import LaunchSettings
from tokenbench.load.codecs import find_codec
from tokenbench.plan.planner import make_plan
from tokenbench.plan.resolve import resolve
from tokenbench.plugins.instances import PluginInstances
from tokenbench.plugins.registry import PluginRegistry
from tokenbench.run.running_server import RunningServer
from tokenbench.run.weights import locate
from tokenbench.suite.schema import DeploymentRequest, PluginRef, Suite

__all__ = ["Launched", "launched", "real_server"]


class Launched(Protocol):
    """Processes that were started."""

    def logs(self, role: str) -> str:
        """The last lines of the logs of a role's processes."""


@contextlib.contextmanager
def launched(
    plan: LaunchPlan, launcher: Launcher | None = None
) -> Iterator[tuple[ControlClient, Launched]]:
    """The processes of a plan, and a client for its endpoints. Does not wait for readiness.

    Args:
        launcher: provides the hosts; None for this machine.
    """
    with tempfile.TemporaryDirectory(prefix="tokenbench-harness-") as logs:
        launcher = launcher or LocalLauncher()
        deployment = Deployment(launcher, plan, LaunchSettings(logs=Path(logs)))
        try:
            deployment.start()
            client = ControlClient(deployment.endpoints, api_key_env=None)
            with contextlib.closing(client):
                yield client, deployment
        finally:
            deployment.stop()


@contextlib.contextmanager
def real_server(engine: str, options: Mapping[str, Any], model: str) -> Iterator[RunningServer]:
    """The server of an installed engine with an installed model, after its first token.

    Args:
        options: the engine's options by name, as in a suite.

    Raises:
        EngineError: it did not start.
    """
    plugins = PluginInstances(PluginRegistry())
    asked = DeploymentRequest(
        engine=PluginRef(engine, FrozenMap(options)), model=PluginRef.of(model)
    )
    (plan,) = make_plan(resolve(Suite(deployments=(asked,)), plugins), plugins).deployments
    with tempfile.TemporaryDirectory(prefix="tokenbench-harness-") as logs:
        weights = plan.request.weights
        settings = LaunchSettings(
            logs=Path(logs),
            weights=locate(weights) if weights else None,
            devices=lambda _: [Device(d.handle or str(d.index), d.sku) for d in plan.devices],
        )
        server = RunningServer(
            spec=plugins.spec("engine", asked.engine.key),
            engine=plugins.engine(asked.engine),
            request=plan.request,
            plan=plan.launch,
            launcher=plugins.launcher(asked.launcher),
            settings=settings,
            codec=lambda name: find_codec(name, plugins.codec_module(name)),
            interrupted=lambda: False,
        )
        with server:
            yield server
