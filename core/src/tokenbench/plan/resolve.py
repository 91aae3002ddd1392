"""A suite as typed values: plugins with their options, load, limits; checked in one place."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

import attrs

from tokenbench.api import DECODE, PREFILL, SERVER, FrozenMap, Layout, Pool, Topology, UsageError
from tokenbench.launch.symbols import PROCESS_NAME
from tokenbench.measure.thresholds import CertificationThresholds, thresholds_from
from tokenbench.plugins.instances import PluginInstances
from tokenbench.plugins.requirements import check_requirements
from tokenbench.suite.limits import MOST_DEGREE
from tokenbench.suite.places import Places
from tokenbench.suite.schema import DeploymentRequest, PluginRef, PoolRequest, Suite
from tokenbench.suite.secrets import looks_secret

from .hardware import ResolvedHardware, resolve_hardware
from .load import ResolvedLoad, resolve_load

_ROLES = (SERVER, PREFILL, DECODE)


@attrs.frozen(kw_only=True)
class ResolvedDeployment:
    """A deployment whose plugins exist and take their options. `path`: ``deployments[0]``.

    `pool_hardware`: by the key of a pool, where it differs from `hardware`.
    """

    request: DeploymentRequest
    hardware: ResolvedHardware
    layout: Layout
    path: str
    pool_hardware: FrozenMap[ResolvedHardware] = FrozenMap()

    def path_of(self, key: str, pool: str | None = None) -> str:
        """The path of a key of the deployment. With pools, topologies are theirs: that of the
        `pool` with that key, or those of all.
        """
        if key.partition(".")[0] not in ("topology", "pools"):
            return f"{self.path}.{key}"
        keys = [one.key for one in self.request.pools]
        if not keys:
            return f"{self.path}.{'topology' if key == 'pools' else key}"
        if pool not in keys:
            return f"{self.path}.pools"
        return f"{self.path}.pools[{keys.index(pool)}]{'' if key == 'pools' else f'.{key}'}"


@attrs.frozen(kw_only=True)
class ResolvedSuite:
    """A suite that was checked, as far as that is possible without hardware.

    `seed`: the suite's, or one drawn for this run. `places`: where the user wrote each key.
    """

    suite: Suite
    seed: int
    load: ResolvedLoad
    thresholds: CertificationThresholds
    deployments: tuple[ResolvedDeployment, ...]
    places: Places = Places()


def resolve(
    suite: Suite,
    plugins: PluginInstances,
    places: Places | None = None,
    *,
    drawn_seed: int | None = None,
) -> ResolvedSuite:
    """Parse and check what a suite says.

    Args:
        places: where the user wrote each key, for errors.
        drawn_seed: used if the suite has none; by default a new one is drawn.

    Raises:
        UsageError: a key is invalid, or contradicts another.
        PluginError: a plugin that it names is missing or broken.
    """
    places = places or Places()
    check_requirements(suite.requires, places)
    load = resolve_load(suite.load, places)
    if drawn_seed is None:
        drawn_seed = secrets.randbelow(1 << 31)
    for index, ref in enumerate(suite.use):
        path = f"use[{index}]"
        with places.told(path):
            plugins.use(ref, where=places.of_options("use", ref.key, path))
    for kind, key in (
        ("workload", "workloads"),
        ("eval", "evals"),
        ("eval", "gates"),
        ("reporter", "reporters"),
    ):
        for index, ref in enumerate(getattr(suite, key)):
            _check_plugin(plugins, places, kind, ref, f"{key}[{index}]")
    for index, ref in enumerate(suite.telemetry.watch or ()):
        _check_plugin(plugins, places, "hardware", ref, f"telemetry.watch[{index}]")
    for name in suite.accuracy.minimum:
        if name not in {ref.name for ref in (*suite.evals, *suite.gates)}:
            raise UsageError(
                f"{places(f'accuracy.minimum.{name}')}: there is no eval or gate {name!r}",
                hint="leave it out, or add the eval to evals or gates",
            )
    _check_lists(suite, places)
    return ResolvedSuite(
        suite=suite,
        seed=drawn_seed if suite.seed is None else suite.seed,
        load=load,
        thresholds=_thresholds(suite, places),
        deployments=tuple(
            _deployment(request, f"deployments[{index}]", plugins, places)
            for index, request in enumerate(suite.deployments)
        ),
        places=places,
    )


def _check_lists(suite: Suite, places: Places) -> None:
    """Check that there is something to measure, and that what must be unique is listed once."""
    if not suite.deployments:
        raise UsageError(
            f"{places('deployments')}: no deployment is given",
            hint="list at least one, with an engine",
        )
    if not (suite.workloads or suite.evals or suite.gates):
        raise UsageError(
            f"{places('workloads')}: neither a workload nor an eval is given",
            hint="list at least one, for example workloads: [random]",
        )
    # An amendment with other options is still the same one.
    _check_unique([ref.key for ref in suite.use], "use", places)
    for key in ("requires", "reporters"):
        _check_unique(getattr(suite, key), key, places)


def _check_unique(items: Sequence[object], key: str, places: Places) -> None:
    for index, item in enumerate(items):
        if item in items[:index]:
            name = item.name if isinstance(item, PluginRef) else item
            raise UsageError(
                f"{places(f'{key}[{index}]')}: {name!r} is given twice", hint="give it once"
            )


def _check_plugin(
    plugins: PluginInstances, places: Places, kind: str, ref: PluginRef, path: str
) -> None:
    """Check that the plugin is installed, takes its options, and can be created."""
    with places.told(path):
        plugins.spec(kind, ref.key)
    plugins.options(kind, ref, where=places.of_options(kind, ref.key, path))
    create = {
        "engine": plugins.engine,
        "model": plugins.model,
        "workload": plugins.workload,
        "eval": plugins.evaluation,
        "reporter": plugins.reporter,
        "hardware": plugins.hardware,
    }.get(kind)
    if create is not None:
        with places.told(path):
            create(ref)


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
    for kind in ("engine", "launcher", "model"):
        if (ref := getattr(request, kind)) is not None:
            _check_plugin(plugins, places, kind, ref, f"{path}.{kind}")
    hardware = resolve_hardware(request.hardware, plugins, places, f"{path}.hardware")
    _check_environment(request.environment, path, places)
    for inside, _, settings in request.settings_by_role():
        _check_environment(settings.environment, f"{path}.{inside}", places)
    _check_pools(request, path, places)
    pool_hardware = _pool_hardware(request, path, plugins, places)
    if len(pool_hardware) == len(request.pools) > 0:
        # No pool uses the deployment's hardware.
        hardware = pool_hardware[request.pools[0].key]
    layout = _layout(request, plugins, path, places)
    _check_range(places, f"{path}.port", request.port, 65535)
    for index, pool in enumerate(layout.pools):
        pool_path = f"{path}.pools[{index}]" if request.pools else path
        _check_range(places, f"{pool_path}.replicas", pool.replicas, MOST_DEGREE)
        for axis, degree in pool.topology.degrees.items():
            _check_range(places, f"{pool_path}.topology.{axis}", degree, MOST_DEGREE)
        _check_inner_degrees(pool.topology, f"{pool_path}.topology", places)
    return ResolvedDeployment(
        request=request, hardware=hardware, layout=layout, path=path, pool_hardware=pool_hardware
    )


def _layout(
    request: DeploymentRequest, plugins: PluginInstances, path: str, places: Places
) -> Layout:
    if not request.pools:
        return Layout(pools=(Pool(topology=request.topology),))
    pools = []
    for index, asked in enumerate(request.pools):
        if asked.engine is not None:
            _check_plugin(plugins, places, "engine", asked.engine, f"{path}.pools[{index}].engine")
        pools.append(
            Pool(
                role=asked.role,
                name=asked.name,
                topology=asked.topology,
                replicas=asked.replicas,
                engine=asked.engine.key if asked.engine else None,
                engine_options=(
                    plugins.given_values("engine", asked.engine) if asked.engine else FrozenMap()
                ),
            )
        )
    return Layout(pools=tuple(pools))


def _pool_hardware(
    request: DeploymentRequest, path: str, plugins: PluginInstances, places: Places
) -> FrozenMap[ResolvedHardware]:
    found = {}
    for index, pool in enumerate(request.pools):
        if pool.hardware is None:
            continue
        place = f"{path}.pools[{index}].hardware"
        found[pool.key] = resolve_hardware(pool.hardware, plugins, places, place)
        if found[pool.key].sku is None:
            raise UsageError(
                f"{places(place)}: a pool with hardware of its own needs a SKU",
                hint="for example hardware: h200; `bench hardware list` shows all",
            )
    return FrozenMap(found)


def _check_inner_degrees(topology: Topology, path: str, places: Places) -> None:
    """Check that these degrees divide the ranks that they split."""
    for axis, outer, ranks in (
        ("attention_dp", "tp x dp", topology.tp * topology.dp),
        ("dcp", "tp", topology.tp),
    ):
        inner = getattr(topology, axis)
        if ranks % inner:
            raise UsageError(
                f"{places(f'{path}.{axis}')}: {axis} {inner} does not divide {outer} = {ranks}",
                hint=f"{axis} splits these ranks into groups of equal size",
            )


def _check_environment(environment: Mapping[str, str], path: str, places: Places) -> None:
    for name, value in environment.items():
        if looks_secret(name) and "{secret:" not in value:
            raise UsageError(
                f"{places(f'{path}.environment.{name}')}: it looks like a secret, and a suite is "
                "stored with its results",
                hint=f'write "{{secret:{name}}}": it is read from your own environment',
            )


def _check_pools(request: DeploymentRequest, path: str, places: Places) -> None:
    if request.pools and request.topology.degrees:
        raise UsageError(
            f"{places(f'{path}.topology')}: pools are given, so it would have no effect",
            hint="give each pool its topology, and leave this one out",
        )
    for index, pool in enumerate(request.pools):
        _check_pool_name(pool, places(f"{path}.pools[{index}].name"))
    keys = [pool.key for pool in request.pools]
    for index, key in enumerate(keys):
        if key in keys[:index]:
            where = places(f"{path}.pools[{index}]")
            raise UsageError(
                f"{where}: there are two pools {key!r}",
                hint="write one pool with replicas: 2, or give each pool of a role its own name",
            )
    roles = [pool.role for pool in request.pools]
    for role, other in ((PREFILL, DECODE), (DECODE, PREFILL)):
        if role in roles and other not in roles:
            raise UsageError(
                f"{places(f'{path}.pools[{roles.index(role)}].role')}: there is a pool for {role} "
                f"and none for {other}",
                hint=f"add one: {{role: {other}}}; or use one pool of the role server",
            )


def _check_pool_name(pool: PoolRequest, place: str) -> None:
    """A name is part of symbols (``{NAME.0.host}``), and not that of another role."""
    if pool.name and not PROCESS_NAME.fullmatch(pool.name):
        raise UsageError(
            f"{place}: expected letters, digits, - and _, a letter first, got {pool.name!r}",
            hint=f"for example name: {pool.role}-a",
        )
    if pool.name in _ROLES and pool.name != pool.role:
        raise UsageError(
            f"{place}: the name {pool.name!r} is that of another role; this pool has the "
            f"role {pool.role!r}",
            hint=f"for example name: {pool.role}-a",
        )


def _check_range(places: Places, path: str, value: int | None, most: int) -> None:
    if value is not None and not 1 <= value <= most:
        raise UsageError(
            f"{places(path)}: expected between 1 and {most:,}, got {value}",
            hint="give a number in that range",
        )
