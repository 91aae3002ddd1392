"""What is asked of an engine against what it declares: nothing is dropped silently."""

from __future__ import annotations

from collections.abc import Iterator

from tokenbench.api import EngineCapabilities, EngineRequest, EngineSpec, LaunchPlan, UsageError
from tokenbench.plugins.instances import PluginInstances
from tokenbench.suite.places import Places
from tokenbench.suite.schema import DeploymentRequest

from .resolve import ResolvedDeployment


def check_keys(deployment: ResolvedDeployment, plugins: PluginInstances, places: Places) -> None:
    """Check that the engine takes every key of the deployment.

    Raises:
        UsageError: it does not.
    """
    declared = plugins.spec("engine", deployment.request.engine.key).capabilities
    _refuse(_unused(deployment.request, declared), deployment, places)
    _refuse(_layout(deployment, declared), deployment, places)


def check_hardware(
    deployment: ResolvedDeployment, plugins: PluginInstances, places: Places
) -> None:
    """Check that the engine runs on the hardware of the deployment.

    Raises:
        UsageError: it does not.
    """
    _refuse(_hardware(deployment, plugins), deployment, places)


def _refuse(found: Iterator[_Found], deployment: ResolvedDeployment, places: Places) -> None:
    for key, reason, hint in found:
        place = places(f"{deployment.path}.{key}")
        name = deployment.request.engine.name
        raise UsageError(f"{place}: the engine {name!r} {reason}", hint=hint)


_Found = tuple[str, str, str]
"""The key, what the engine does not do, and a hint."""


def _unused(asked: DeploymentRequest, declared: EngineCapabilities) -> Iterator[_Found]:
    if not declared.starts_server:
        given = {
            "port": asked.port is not None,
            "flags": bool(asked.flags),
            "environment": bool(asked.environment),
            "roles": bool(asked.roles),
            "pools": bool(asked.pools),
            "launcher": asked.launcher != DeploymentRequest(engine=asked.engine).launcher,
        }
        for key in (key for key, used in given.items() if used):
            yield (
                key,
                "starts no server, so nothing would use this",
                f"leave {key} out; set it where the server is started",
            )
    if asked.weights is not None and not declared.weight_formats:
        yield (
            "weights",
            "loads no weights, so nothing would use this",
            "leave weights out; the server chooses its own",
        )


def _layout(deployment: ResolvedDeployment, declared: EngineCapabilities) -> Iterator[_Found]:
    for index, pool in enumerate(deployment.layout.pools):
        inside = f"pools[{index}]." if deployment.request.pools else ""
        if pool.role not in declared.roles:
            roles = ", ".join(declared.roles)
            reason = _reason(declared, pool.role)
            yield f"{inside}role", f"has no role {pool.role!r}{reason}", f"its roles: {roles}"
        for axis, degree in pool.topology.degrees.items():
            if axis not in declared.axes:
                yield (
                    f"{inside}topology.{axis}",
                    f"does not support {axis}={degree}{_reason(declared, axis)}",
                    f"degrees it supports: {', '.join(declared.axes) or 'none'}",
                )


def _reason(declared: EngineCapabilities, name: str) -> str:
    return f": {declared.lacks[name]}" if name in declared.lacks else ""


def check_experts(
    request: EngineRequest, deployment: ResolvedDeployment, spec: EngineSpec, places: Places
) -> None:
    """Check that experts are spread over several hosts only where the engine does that.

    Raises:
        UsageError: it does not.
    """
    declared = spec.capabilities
    for index, pool in enumerate(request.layout.pools):
        chip = (pool.hardware or request.hardware).chip
        here = None if chip is None else chip.accelerators_per_host
        ep = pool.topology.degrees.get("ep", 1)
        if declared.wide_ep or chip is None or here is None or ep <= here:
            continue
        inside = f"pools[{index}]." if deployment.request.pools else ""
        raise UsageError(
            f"{places(f'{deployment.path}.{inside}topology.ep')}: the engine {spec.name!r} does "
            f"not spread experts over hosts{_reason(declared, 'wide_ep')}",
            hint=f"a host with {chip.name} has {here} accelerators; use ep={here} or less",
        )


def _hardware(deployment: ResolvedDeployment, plugins: PluginInstances) -> Iterator[_Found]:
    declared = plugins.spec("engine", deployment.request.engine.key).capabilities
    hardware = deployment.hardware.plugin
    kind = hardware.name
    if declared.hardware and kind not in declared.hardware:
        known = ", ".join(declared.hardware)
        yield (
            "hardware",
            f"does not run on {kind!r}",
            f"it runs on: {known}; name the hardware (--hardware {declared.hardware[0]})",
        )
    accelerated = plugins.spec("hardware", hardware.key).accelerated
    if declared.needs_accelerators and not accelerated:
        installed = ", ".join(plugins.registry.names("hardware"))
        hint = f"name it: --hardware NAME, in a suite hardware: NAME; installed: {installed}"
        yield "hardware", f"needs accelerators, and {kind!r} has none", hint


def check_port(
    asked: DeploymentRequest, launch: LaunchPlan, deployment: ResolvedDeployment, places: Places
) -> None:
    """Check that a process of the plan takes the port that is asked for.

    Raises:
        UsageError: none has a port.
    """
    if asked.port is not None and not any(process.ports for process in launch.processes):
        raise UsageError(
            f"{places(f'{deployment.path}.port')}: no process of the engine "
            f"{asked.engine.name!r} has a port, so nothing would use this",
            hint="leave the port out",
        )
