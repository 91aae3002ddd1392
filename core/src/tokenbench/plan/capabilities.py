"""Checks what a deployment asks of its engine against the engine's capabilities."""

from __future__ import annotations

from collections.abc import Iterator

from tokenbench.api import (
    EngineCapabilities,
    EngineRequest,
    EngineSpec,
    LauncherSpec,
    LaunchPlan,
    Pool,
    Sku,
    Topology,
    UsageError,
)
from tokenbench.plugins.instances import PluginInstances
from tokenbench.suite.places import Places
from tokenbench.suite.schema import DeploymentRequest

from .hardware import ResolvedHardware
from .resolve import ResolvedDeployment


def check_keys(deployment: ResolvedDeployment, plugins: PluginInstances, places: Places) -> None:
    """Check that the engine supports every key of the deployment.

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


def _refuse(
    found: Iterator[_Found],
    deployment: ResolvedDeployment,
    places: Places,
    engine: str | None = None,
) -> None:
    for key, reason, hint in found:
        place = places(f"{deployment.path}.{key}")
        name = engine or deployment.request.engine.name
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
                "does not start a server, so this would have no effect",
                f"leave {key} out; set it where the server is started",
            )
    if asked.weights is not None and not declared.weight_formats:
        yield (
            "weights",
            "loads no weights, so this would have no effect",
            "leave weights out; the server chooses its own",
        )


def _layout(deployment: ResolvedDeployment, declared: EngineCapabilities) -> Iterator[_Found]:
    for inside, pool in _pools(deployment):
        yield from _role(pool, declared, inside)
        yield from _topology(pool, declared, inside)


def _pools(deployment: ResolvedDeployment) -> Iterator[tuple[str, Pool]]:
    """Pools, with the prefix of their keys."""
    for index, pool in enumerate(deployment.layout.pools):
        yield (f"pools[{index}]." if deployment.request.pools else ""), pool


def _role(pool: Pool, declared: EngineCapabilities, inside: str) -> Iterator[_Found]:
    if pool.role not in declared.roles:
        reason = f"has no role {pool.role!r}{_reason(declared, pool.role)}"
        yield f"{inside}role", reason, f"its roles: {', '.join(declared.roles)}"


def _topology(pool: Pool, declared: EngineCapabilities, inside: str) -> Iterator[_Found]:
    for axis, degree in pool.topology.degrees.items():
        if axis not in declared.axes:
            yield (
                f"{inside}topology.{axis}",
                f"does not support {axis}={degree}{_reason(declared, axis)}",
                f"degrees it supports: {', '.join(declared.axes) or 'none'}",
            )


def _reason(declared: EngineCapabilities, name: str) -> str:
    return f": {declared.lacks[name]}" if name in declared.lacks else ""


def check_spread(
    request: EngineRequest, deployment: ResolvedDeployment, spec: EngineSpec, places: Places
) -> None:
    """Check that the accelerators of each server are connected, and that experts are spread over
    several hosts only where the engine does that.

    Raises:
        UsageError: they are not, or it does not.
    """
    for index, pool in enumerate(request.layout.pools):
        chip = (pool.hardware or request.hardware).chip
        if chip is None:
            continue
        inside = f"pools[{index}]." if deployment.request.pools else ""
        key = f"{deployment.path}.{inside}topology"
        _check_network(pool.topology, chip, places(key))
        here, ep = chip.accelerators_per_host, pool.topology.ep
        if spec.capabilities.wide_ep or here is None or ep <= here:
            continue
        raise UsageError(
            f"{places(f'{key}.ep')}: the engine {spec.name!r} does not spread experts over hosts"
            f"{_reason(spec.capabilities, 'wide_ep')}",
            hint=f"a host with {chip.name} has {here} accelerators; use ep={here} or less",
        )


def _check_network(topology: Topology, chip: Sku, place: str) -> None:
    """One server's accelerators are in one scale-up domain, or a network connects the domains. An
    unknown size of the domain says nothing.
    """
    domain = chip.scale_up_size or chip.accelerators_per_host
    networked = chip.scale_out_bandwidth_bytes_s or chip.scale_out_link
    if domain is None or networked or topology.accelerators <= domain:
        return
    raise UsageError(
        f"{place}: {topology.label} needs {topology.accelerators} accelerators for one server, but "
        f"a scale-up domain of {chip.name} has {domain}, and no scale-out network of it is known",
        hint=f"use at most {domain} for one server, and replicas for more; `bench hardware show "
        f"{chip.name}` lists its links",
    )


def _hardware(deployment: ResolvedDeployment, plugins: PluginInstances) -> Iterator[_Found]:
    declared = plugins.spec("engine", deployment.request.engine.key).capabilities
    pools, own = deployment.request.pools, deployment.pool_hardware
    if not pools or len(own) < len(pools):
        yield from _runs_on(declared, deployment.hardware, "hardware", plugins)
    for index, pool in enumerate(pools):
        if pool.key in own:
            yield from _runs_on(declared, own[pool.key], f"pools[{index}].hardware", plugins)
    for inside, one in _pools(deployment):
        yield from _of_build(one, declared, own.get(one.key, deployment.hardware), inside)


def _of_build(
    pool: Pool, declared: EngineCapabilities, hardware: ResolvedHardware, inside: str
) -> Iterator[_Found]:
    """What the engine's build for a pool's hardware does not support."""
    kind = hardware.plugin.name
    build = declared.builds.get(kind)
    if build is not None:
        for key, reason, hint in (*_role(pool, build, inside), *_topology(pool, build, inside)):
            yield key, f"on {kind} {reason}", hint


def _runs_on(
    declared: EngineCapabilities, hardware: ResolvedHardware, key: str, plugins: PluginInstances
) -> Iterator[_Found]:
    kind = hardware.plugin.name
    if declared.hardware and kind not in declared.hardware:
        known = ", ".join(declared.hardware)
        named = f"name the hardware (--hardware {declared.hardware[0]})"
        hint = named if key == "hardware" else "`bench hardware list` shows their accelerators"
        yield key, f"does not run on {kind!r}", f"it runs on: {known}; {hint}"
    accelerated = plugins.spec("hardware", hardware.plugin.key).accelerated
    if declared.needs_accelerators and not accelerated:
        installed = ", ".join(plugins.registry.names("hardware"))
        hint = f"name it: --hardware NAME (hardware: in a suite); installed: {installed}"
        yield key, f"needs accelerators, and {kind!r} has none", hint


def check_wrapped(
    deployment: ResolvedDeployment, launch: LaunchPlan, plugins: PluginInstances, places: Places
) -> None:
    """Check that the engines whose workers an orchestrator runs support what is asked of them.

    Raises:
        UsageError: one does not.
    """
    for inside, pool in _pools(deployment):
        if pool.key not in launch.wraps:
            continue
        name = launch.wraps[pool.key]
        declared = plugins.spec("engine", name).capabilities
        own = deployment.pool_hardware.get(pool.key)
        key = "hardware" if own is None else f"{inside}hardware"
        _refuse(_topology(pool, declared, inside), deployment, places, name)
        hardware = deployment.hardware if own is None else own
        _refuse(_runs_on(declared, hardware, key, plugins), deployment, places, name)
        _refuse(_of_build(pool, declared, hardware, inside), deployment, places, name)


def check_launch(
    deployment: ResolvedDeployment, launch: LaunchPlan, plugins: PluginInstances, places: Places
) -> None:
    """Check that a process has a port if one is asked for, that the launcher starts images if the
    plan has any, and that the engine's build for a chip supports the method of speculation.

    Raises:
        UsageError: one of these does not hold.
    """
    asked = deployment.request
    for pool in deployment.layout.pools:
        name = launch.wraps.get(pool.key, asked.engine.key)
        kind = deployment.pool_hardware.get(pool.key, deployment.hardware).plugin.name
        build = plugins.spec("engine", name).capabilities.builds.get(kind)
        if build is not None:
            _refuse(_drafting(launch, build, kind), deployment, places, name)
    if asked.port is not None and not any(process.ports for process in launch.processes):
        raise UsageError(
            f"{places(f'{deployment.path}.port')}: no process of the engine "
            f"{asked.engine.name!r} has a port, so this would have no effect",
            hint="leave the port out",
        )
    launcher: LauncherSpec = plugins.spec("launcher", asked.launcher.key)
    named = [process for process in launch.processes if process.image is not None]
    if named and not launcher.images:
        raise UsageError(
            f"{places(f'{deployment.path}.launcher')}: the launcher {launcher.name!r} does "
            f"not start container images, but {named[0].role} has {named[0].image!r}",
            hint="leave the image out, or use a launcher that starts images",
        )


def _drafting(launch: LaunchPlan, build: EngineCapabilities, kind: str) -> Iterator[_Found]:
    method = launch.speculation
    if method not in (None, "none", *build.speculation):
        reason = f"on {kind} does not support speculation={method}{_reason(build, 'speculation')}"
        yield "engine", reason, f"methods it supports: {', '.join(build.speculation) or 'none'}"
