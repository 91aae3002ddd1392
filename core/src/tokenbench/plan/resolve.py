"""A suite as typed values: plugins with their options, load, limits; checked in one place."""

from __future__ import annotations

import secrets

import attrs

from tokenbench.api import Layout, Pool, UsageError
from tokenbench.measure.thresholds import CertificationThresholds, thresholds_from
from tokenbench.plugins.instances import PluginInstances
from tokenbench.plugins.requirements import check_requirements
from tokenbench.suite.limits import MOST_DEGREE
from tokenbench.suite.places import Places
from tokenbench.suite.schema import DeploymentRequest, PluginRef, Suite
from tokenbench.suite.secrets import looks_secret

from .hardware import ResolvedHardware, resolve_hardware
from .load import ResolvedLoad, resolve_load


@attrs.frozen(kw_only=True)
class ResolvedDeployment:
    """A deployment whose plugins exist and take their options. `path`: ``deployments[0]``."""

    request: DeploymentRequest
    hardware: ResolvedHardware
    layout: Layout
    path: str


@attrs.frozen(kw_only=True)
class ResolvedSuite:
    """A suite that was checked, as far as that is possible without hardware.

    `seed`: the suite's, or one drawn for this run.
    """

    suite: Suite
    seed: int
    load: ResolvedLoad
    thresholds: CertificationThresholds
    deployments: tuple[ResolvedDeployment, ...]


def resolve(suite: Suite, plugins: PluginInstances, places: Places | None = None) -> ResolvedSuite:
    """Parse and check what a suite says.

    Args:
        places: where the user wrote each key, for errors.

    Raises:
        UsageError: a key has no meaning, or contradicts another.
        PluginError: a plugin that it names is missing or broken.
    """
    places = places or Places()
    check_requirements(suite.requires)
    load = resolve_load(suite.load, places)
    for name in suite.use:
        plugins.use(name)
    for kind, key in (("workload", "workloads"), ("eval", "evals"), ("reporter", "reporters")):
        for index, ref in enumerate(getattr(suite, key)):
            _check_options(plugins, places, kind, ref, f"{key}[{index}]")
    if not suite.deployments:
        raise UsageError(
            f"{places('deployments')}: no deployment is given",
            hint="list at least one, with an engine",
        )
    return ResolvedSuite(
        suite=suite,
        seed=secrets.randbelow(1 << 31) if suite.seed is None else suite.seed,
        load=load,
        thresholds=_thresholds(suite, places),
        deployments=tuple(
            _deployment(request, f"deployments[{index}]", plugins, places)
            for index, request in enumerate(suite.deployments)
        ),
    )


def _check_options(
    plugins: PluginInstances, places: Places, kind: str, ref: PluginRef, path: str
) -> None:
    plugins.options(kind, ref, where=places.of_plugin(kind, ref.key, path))


def _thresholds(suite: Suite, places: Places) -> CertificationThresholds:
    try:
        return thresholds_from(suite.certification)
    except ValueError as error:
        path, _, reason = str(error).partition(": ")
        raise UsageError(
            f"{places(f'certification.{path}')}: {reason}",
            hint="`bench metrics` lists the checks and their limits",
        ) from None


def _deployment(
    request: DeploymentRequest, path: str, plugins: PluginInstances, places: Places
) -> ResolvedDeployment:
    for kind in ("engine", "launcher"):
        _check_options(plugins, places, kind, getattr(request, kind), f"{path}.{kind}")
    hardware = resolve_hardware(request.hardware, plugins, places, f"{path}.hardware")
    for name, value in request.environment.items():
        if looks_secret(name) and "{secret:" not in value:
            raise UsageError(
                f"{places(f'{path}.environment.{name}')}: it looks like a secret, and a suite is "
                "kept with its results",
                hint=f'write "{{secret:{name}}}": it is taken from your own environment',
            )
    layout = Layout(pools=request.pools or (Pool(topology=request.topology),))
    _check_range(places, f"{path}.port", request.port, 65535)
    for index, pool in enumerate(layout.pools):
        pool_path = f"{path}.pools[{index}]" if request.pools else path
        _check_range(places, f"{pool_path}.replicas", pool.replicas, MOST_DEGREE)
        for axis, degree in pool.topology.degrees.items():
            _check_range(places, f"{pool_path}.topology.{axis}", degree, MOST_DEGREE)
    return ResolvedDeployment(request=request, hardware=hardware, layout=layout, path=path)


def _check_range(places: Places, path: str, value: int | None, most: int) -> None:
    if value is not None and not 1 <= value <= most:
        raise UsageError(
            f"{places(path)}: expected between 1 and {most:,}, got {value}",
            hint="give a number in that range",
        )
