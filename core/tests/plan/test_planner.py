"""From a suite to a plan, with plugins made here."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from tokenbench.api import (
    AccuracyThreshold,
    Amendment,
    Architecture,
    Codec,
    DeviceSettings,
    EndpointSpec,
    Engine,
    EngineCapabilities,
    EngineRequest,
    EngineSpec,
    EvalNeeds,
    FileSpec,
    FrozenMap,
    LaunchPlan,
    Layout,
    ModelSpec,
    NodeProgram,
    PluginError,
    ProcessSpec,
    Recipe,
    Sku,
    Topology,
    UsageError,
    Weights,
    Workload,
)
from tokenbench.guard.owner import Owner
from tokenbench.load.codecs import find_codec
from tokenbench.load.cores import WorkerCount, split_cores
from tokenbench.plan.capabilities import check_hardware
from tokenbench.plan.hardware import ResolvedHardware
from tokenbench.plan.load import resolve_load
from tokenbench.plan.planner import make_plan
from tokenbench.plan.resolve import ResolvedDeployment, resolve
from tokenbench.suite.places import Places
from tokenbench.suite.schema import (
    AccuracyRequest,
    DeploymentRequest,
    LoadRequest,
    PluginRef,
    PoolRequest,
    RepeatsRequest,
    RoleSettings,
    Suite,
)
from tokenbench.suite.structure import read_suite


class Wrapping(Engine):
    """Plans one process a pool, with the context it needs."""

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """As many processes as there are pools."""
        processes = tuple(
            ProcessSpec(
                role=pool.role,
                argv=("python", "serve"),
                flags=FrozenMap({"--ctx": request.needs.context_tokens}),
                replicas=pool.replicas,
            )
            for pool in request.layout.pools
        )
        return LaunchPlan(processes=processes)


class Keyed(Wrapping):
    """One process a pool, under the pool's key, perhaps a worker of another engine."""

    def __init__(self, wrapped: str | None) -> None:
        self._wrapped = wrapped

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """As many processes as there are pools."""
        return LaunchPlan(
            processes=tuple(
                ProcessSpec(role=pool.key, argv=("python",)) for pool in request.layout.pools
            ),
            wraps=FrozenMap({key: self._wrapped for key in request.layout.keys if self._wrapped}),
        )


class Fixed(Workload):
    """Needs a context of 200."""

    def context_tokens(self) -> int:
        """Prompt and answer."""
        return 200

    def sessions(self, context: Any, seed: int) -> Any:
        """None needed here."""
        return iter(())


MODEL = ModelSpec(
    name="m",
    summary="a model",
    weights=(
        Weights(precision="fp8", format="safetensors", source="hub:x/y", revision="1"),
        Weights(precision="q4", format="gguf", source="hub:x/z", revision="2"),
    ),
    architecture=Architecture(context_tokens=4096),
    recipes=(
        Recipe(engine="e", flags=FrozenMap({"--r": 1}), source="s", date="d"),
        Recipe(engine="e", hardware="cpu", flags=FrozenMap({"--r": 2}), source="s", date="d"),
        Recipe(engine="other", flags=FrozenMap({"--r": 3}), source="s", date="d"),
    ),
    thresholds=(AccuracyThreshold(eval="v", minimum=0.5, source="s", date="d", precision="q4"),),
)


FOUND = json.dumps({"devices": [{"index": i, "name": "Some CPU"} for i in range(16)]})


class FakePlugins:
    """Stands for the installed plugins."""

    def __init__(self, **capabilities: Any) -> None:
        facts = {"weight_formats": ("gguf",), "axes": ("tp",), **capabilities}
        self.capabilities = EngineCapabilities(**facts)
        self.needs = EvalNeeds(context_tokens=100)
        self.thresholds: tuple[AccuracyThreshold, ...] = ()
        self.made: Engine = Wrapping()
        self.log = ""
        self.links: dict[str, Any] = {"accelerators_per_host": 8, "scale_out_link": "Ethernet"}
        self.accelerated = True
        self.images, self.this_machine = False, True
        self.registry = SimpleNamespace(
            names=lambda kind: ("m", "cpu", "gpus"), implementations=lambda hook: ()
        )

    def use(self, ref: PluginRef, *, where: object) -> None:
        """There is no amendment."""

    def spec(self, kind: str, name: str) -> Any:
        """The engine's spec, or the hardware's."""
        if kind == "hardware":
            return SimpleNamespace(accelerated=self.accelerated)
        if kind == "launcher":
            return SimpleNamespace(name=name, this_machine=self.this_machine, images=self.images)
        if kind == "eval":
            return SimpleNamespace(thresholds=self.thresholds)
        if kind == "workload":
            return SimpleNamespace(multi_turn=False, primes=False)
        return EngineSpec(
            name=name, summary="", factory=lambda *_: Wrapping(), capabilities=self.capabilities
        )

    def options(self, kind: str, ref: PluginRef, *, where: object = None) -> object:
        """None."""
        return None

    def given_values(self, kind: str, ref: PluginRef) -> FrozenMap[Any]:
        """As given."""
        return ref.options

    def identity_values(self, kind: str, ref: PluginRef) -> FrozenMap[Any]:
        """As given."""
        return ref.options

    def owner(self, kind: str, name: str) -> Owner:
        """As errors name it."""
        return Owner(kind, name)

    def codec(self, name: str) -> Codec:
        """A built-in one."""
        return find_codec(name, None)

    def engine(self, ref: PluginRef) -> Engine:
        """The engine."""
        return self.made

    def model(self, name: str) -> ModelSpec:
        """The model."""
        return MODEL

    def hardware(self, ref: PluginRef) -> Any:
        """Hardware that asks for a variable."""
        setting = DeviceSettings(reason="its own", environment=FrozenMap({"VISIBLE": "{devices}"}))
        return SimpleNamespace(
            settings=lambda sku: (setting,),
            program=lambda: NodeProgram(
                module="planned_node", options=FrozenMap({"found": FOUND, "log": self.log})
            ),
            catalogue=lambda: (
                Sku(
                    name="sku",
                    vendor="v",
                    source="s",
                    date="d",
                    aliases=("some cpu",),
                    **self.links,
                ),
            ),
        )

    def workload(self, ref: PluginRef) -> Workload:
        """The workload."""
        return Fixed()

    def reporter(self, ref: PluginRef) -> object:
        """None is needed."""
        return None

    def evaluation(self, ref: PluginRef) -> Any:
        """An eval."""
        return SimpleNamespace(needs=lambda: self.needs)


def _suite(**changes: Any) -> Suite:
    request = DeploymentRequest(engine=PluginRef("e"), model=PluginRef("m"), **changes)
    return Suite(
        deployments=(request,), load=LoadRequest(concurrency=(1, 2)), evals=(PluginRef("v"),)
    )


def _plan(suite: Suite, plugins: Any = None, places: Places | None = None) -> Any:
    plugins = plugins or FakePlugins()
    return make_plan(resolve(suite, plugins, places), plugins)


def test_weights_recipes_and_thresholds_that_fit_are_chosen() -> None:
    """A format that the engine loads; the special recipe over the general one."""
    (deployment,) = _plan(_suite()).deployments
    assert deployment.request.weights.precision == "q4"
    assert deployment.launch.processes[0].flags["--r"] == 2
    assert deployment.evals[0].threshold.minimum == 0.5
    assert deployment.evals[0].twin is None


@pytest.mark.parametrize("wraps", [False, True])
def test_a_pool_with_hardware_of_its_own_gets_the_recipes_for_that(monkeypatch, wraps) -> None:
    """The special recipe is for the deployment's hardware, which one of the pools has. The same
    holds if the pools run workers of the engine that the recipes are for.
    """
    sku = Sku(name="g1", vendor="v", source="s", date="d")
    entry = SimpleNamespace(accelerated=True, plugin=PluginRef("gpus"), sku=sku)
    catalogue = SimpleNamespace(find=lambda name, distribution: entry)
    monkeypatch.setattr("tokenbench.plan.hardware.read_catalogue", lambda registry: catalogue)
    pools = (PoolRequest(name="own", hardware=PluginRef("g1")), PoolRequest(name="shared"))
    plugins = FakePlugins()
    plugins.made = Keyed("e" if wraps else None)
    suite = _suite(pools=pools)
    if wraps:
        (asked,) = suite.deployments
        suite = attrs.evolve(suite, deployments=(attrs.evolve(asked, engine=PluginRef("outer")),))
    (deployment,) = _plan(suite, plugins).deployments
    assert {p.role: p.flags["--r"] for p in deployment.launch.processes} == {"own": 1, "shared": 2}


@pytest.mark.parametrize(("recipes_win", "value"), [(False, 9), (True, 2)])
def test_a_recipe_wins_over_an_amendment_that_lets_it(recipes_win: bool, value: int) -> None:
    """Otherwise an amendment overrides the recipe."""
    plugins = FakePlugins()

    def amend(limit: str, result: object, *, request: object, plan: LaunchPlan) -> Amendment:
        flags = FrozenMap({plan.processes[0].role: FrozenMap({"--r": 9})})
        return Amendment(reason="because", recipes_win=recipes_win, flags=flags)

    amend.plugin, amend.owner = "plug", Owner("amendment", "plug")  # type: ignore[attr-defined]
    plugins.registry.implementations = lambda hook: (amend,)
    (deployment,) = _plan(_suite(), plugins).deployments
    assert deployment.launch.processes[0].flags["--r"] == value


@pytest.mark.parametrize(("kind", "told"), [("amendment", True), ("engine", False)])
def test_an_amendment_that_leaves_the_plan_alone_is_told(kind: str, told: bool) -> None:
    """The user switched it on, perhaps with options, for another engine. The hook of a plugin that
    the run uses anyway is not told.
    """
    plugins = FakePlugins()

    def amend(limit: str, result: object, *, request: object, plan: LaunchPlan) -> None:
        return None

    amend.plugin, amend.owner = "plug", Owner(kind, "small")  # type: ignore[attr-defined]
    plugins.registry.implementations = lambda hook: (amend,)
    notes = _plan(_suite(), plugins).notes
    assert ("the amendment 'small' changes nothing for the engine 'e'" in notes) is told


def test_what_changes_a_number_changes_the_identity() -> None:
    """Settings, seed, level, length; not the port, not the number of repeats."""
    base = _plan(_suite()).deployments[0]
    again = _plan(_suite()).deployments[0]
    assert [p.id for p in base.points] == [p.id for p in again.points]
    assert len({p.id for p in base.points}) == 2
    same = [
        _suite(port=8080),
        attrs.evolve(
            _suite(), load=LoadRequest(concurrency=(1, 2), repeats=RepeatsRequest(at_most=5))
        ),
    ]
    other = [
        _suite(flags=FrozenMap({"--z": 1})),
        _suite(environment=FrozenMap({"Z": "1"})),
        _suite(topology=Topology(tp=2)),
        attrs.evolve(_suite(), seed=1),
        attrs.evolve(_suite(), load=LoadRequest(concurrency=(1, 2), duration_s=99)),
        attrs.evolve(_suite(), workloads=(PluginRef("w", FrozenMap({"x": 1})),)),
    ]
    for suite in same:
        assert _plan(suite).deployments[0].points[0].id == base.points[0].id
    ids = [_plan(suite).deployments[0].points[0].id for suite in other]
    assert len({*ids, base.points[0].id}) == len(other) + 1


class Versioned(Wrapping):
    """Its version is the one that is installed on this machine."""

    def __init__(self, installed: str) -> None:
        self._installed = installed

    def planned_version(self) -> str | None:
        """The installed one."""
        return self._installed


@pytest.mark.parametrize(("here", "count"), [(True, 2), (False, 1)])
def test_the_version_installed_here_is_not_that_of_other_hosts(here: bool, count: int) -> None:
    """It is part of the identity where the server runs on this machine."""
    found = set()
    for version in ("1.2", "1.3"):
        plugins = FakePlugins()
        plugins.made, plugins.this_machine, plugins.accelerated = Versioned(version), here, False
        found.add(_plan(_suite(), plugins).deployments[0].id)
    assert len(found) == count


def test_an_eval_that_needs_more_context_gets_a_twin() -> None:
    """Another server that differs in the settings listed, and in nothing else."""
    plugins = FakePlugins()
    plugins.needs = EvalNeeds(context_tokens=1000, logprobs=True)
    (deployment,) = _plan(_suite(), plugins).deployments
    (planned,) = deployment.evals
    assert planned.twin_settings == ("context_tokens: 200 -> 1000", "logprobs: off -> on")
    assert planned.twin.launch.processes[0].flags == {"--ctx": 1000, "--r": 2}
    assert deployment.launch.processes[0].flags == {"--ctx": 200, "--r": 2}


def test_no_twin_where_its_plan_would_be_the_measured_one() -> None:
    """The suite fixes what the need would set: a second server would be the same."""
    plugins = FakePlugins()
    plugins.needs = EvalNeeds(context_tokens=1000)
    (deployment,) = _plan(_suite(flags=FrozenMap({"--ctx": 4096})), plugins).deployments
    assert deployment.evals[0].twin is None
    (deployment,) = _plan(_suite(flags=FrozenMap({"--other": 4096})), plugins).deployments
    assert deployment.evals[0].twin is not None


class Simulating(Wrapping):
    """Its flag ``--accept`` simulates the acceptance of drafts."""

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """With the flag, unless the request asks for real acceptance."""
        plan = super().plan(request)
        if request.needs.real_acceptance:
            return plan
        first, *others = plan.processes
        first = attrs.evolve(first, flags=FrozenMap({**first.flags, "--accept": 2.5}))
        return attrs.evolve(plan, processes=(first, *others))

    def synthetic_acceptance(self, plan: LaunchPlan) -> bool:
        """By the flag."""
        return any(process.flags.get("--accept") for process in plan.processes)


@pytest.mark.covers("Engine.synthetic_acceptance")
def test_no_eval_is_asked_where_acceptance_is_simulated() -> None:
    """A twin without it answers; where the suite fixes the flag, the eval is refused. An eval that
    judges no answers needs none.
    """
    plugins = FakePlugins()
    plugins.made = Simulating()
    (deployment,) = _plan(_suite(), plugins).deployments
    assert deployment.evals[0].twin_settings == ("acceptance of drafts: simulated -> real",)
    assert deployment.launch.processes[0].flags["--accept"] == 2.5
    assert "--accept" not in deployment.evals[0].twin.launch.processes[0].flags
    with pytest.raises(UsageError, match="the eval 'v' cannot be asked: the server simulates"):
        _plan(_suite(flags=FrozenMap({"--accept": 3})), plugins)
    plugins.needs = EvalNeeds(real_acceptance=False)
    (deployment,) = _plan(_suite(), plugins).deployments
    assert deployment.evals[0].twin is None


def test_the_threshold_is_the_users_the_models_or_the_evals() -> None:
    """In this order; among the model's, that for the precision of the weights. The baseline stays
    the model's.
    """
    plugins = FakePlugins()
    own = AccuracyThreshold(eval="v", minimum=0.9, source="own", date="d")
    plugins.thresholds = (own,)
    general = AccuracyThreshold(eval="v", minimum=0.4, source="s", date="d")
    special = attrs.evolve(general, minimum=0.5, precision="q4", baseline=0.7)
    other = attrs.evolve(general, minimum=0.6, precision="fp8")

    def chosen(*thresholds: AccuracyThreshold, **accuracy: Any) -> Any:
        model = attrs.evolve(MODEL, thresholds=thresholds)
        plugins.model = lambda name: model  # type: ignore[method-assign]
        suite = attrs.evolve(_suite(), accuracy=AccuracyRequest(**accuracy))
        return _plan(suite, plugins).deployments[0].evals[0].threshold

    assert chosen() is own
    assert chosen(general, other) is general
    assert chosen(other, general, special) is special
    given = chosen(special, minimum=FrozenMap(v=0.2))
    assert (given.minimum, given.source, given.baseline) == (0.2, "the suite", 0.7)


def test_a_gate_needs_a_threshold() -> None:
    """An eval does not: it has a score."""
    model = attrs.evolve(MODEL, thresholds=())
    plugins = FakePlugins()
    plugins.model = lambda name: model  # type: ignore[method-assign]
    assert _plan(_suite(), plugins).deployments[0].evals[0].threshold is None
    gates = attrs.evolve(_suite(), evals=(), gates=(PluginRef("v"),))
    with pytest.raises(UsageError, match="the gate 'v' has no threshold for the model 'm'"):
        _plan(gates, plugins)
    given = attrs.evolve(gates, accuracy=AccuracyRequest(minimum=FrozenMap(v=0.3)))
    (planned,) = _plan(given, plugins).deployments[0].evals
    assert (planned.gate, planned.threshold.minimum) == (True, 0.3)


def test_disaggregated_pools() -> None:
    """Roles of the engine; accelerators are counted over all replicas."""
    pools = (
        PoolRequest(role="prefill", replicas=2, topology=Topology(tp=4)),
        PoolRequest(role="decode", topology=Topology(tp=8)),
    )
    plugins = FakePlugins(roles=("prefill", "decode"))
    (deployment,) = _plan(_suite(pools=pools), plugins).deployments
    assert deployment.request.hardware.count == 16
    assert deployment.request.layout.disaggregated
    with pytest.raises(UsageError, match="no role 'prefill'"):
        _plan(_suite(pools=pools))


@pytest.mark.parametrize(
    ("suite", "capabilities", "said"),
    [
        (_suite(topology=Topology(pp=2)), {}, "does not support pp=2"),
        (_suite(topology=Topology(dp=2)), {}, "does not support dp=2"),
        (_suite(weights="fp8"), {}, "no weights of precision 'fp8'"),
        (_suite(), {"weight_formats": ("onnx",)}, "can load"),
        (_suite(), {"lacks": FrozenMap(q4="not in version 1")}, "can load: not in version 1"),
        (_suite(topology=Topology(pp=2)), {"lacks": FrozenMap(pp="none in 1")}, "pp=2: none in 1"),
        (
            _suite(pools=(PoolRequest(role="prefill"), PoolRequest(role="decode"))),
            {"lacks": FrozenMap(prefill="no transfer in version 1")},
            "no role 'prefill': no transfer in version 1",
        ),
        (
            _suite(topology=Topology(tp=4, ep=16)),
            {"axes": ("tp", "ep"), "lacks": FrozenMap(wide_ep="one host in version 1")},
            "does not spread experts over hosts: one host in version 1",
        ),
        (_suite(), {"hardware": ("nvidia",)}, "does not run on 'cpu'"),
        (_suite(weights="fp8"), {"weight_formats": ()}, "loads no weights, so this would have"),
        *(
            (_suite(**given), {"starts_server": False, "weight_formats": ()}, f"{key}: the engine")
            for key, given in {
                "port": {"port": 80},
                "flags": {"flags": FrozenMap({"--x": 1})},
                "environment": {"environment": FrozenMap({"X": "1"})},
                "launcher": {"launcher": PluginRef("ssh")},
                "weights": {"weights": "fp8"},
            }.items()
        ),
    ],
)
def test_what_cannot_be_is_said_while_planning(
    suite: Suite, capabilities: dict[str, Any], said: str
) -> None:
    """With the path in the suite and what there is."""
    with pytest.raises(UsageError, match=said) as caught:
        _plan(suite, FakePlugins(**capabilities))
    assert caught.value.message.startswith("deployments[0].")


def test_weights_that_an_engine_lacks_are_passed_over() -> None:
    """Without a precision asked for, the first that it loads."""
    plugins = FakePlugins(
        weight_formats=("gguf", "safetensors"), lacks=FrozenMap(fp8="not in version 1")
    )
    (deployment,) = _plan(_suite(), plugins).deployments
    assert deployment.request.weights.precision == "q4"


def test_experts_over_hosts_where_the_engine_spreads_them() -> None:
    """It says so."""
    plugins = FakePlugins(axes=("tp", "ep"), wide_ep=True)
    (deployment,) = _plan(_suite(topology=Topology(tp=4, ep=16)), plugins).deployments
    assert deployment.request.hardware.count == 16


@pytest.mark.parametrize(
    ("links", "refused"),
    [
        ({"scale_up_size": 8}, True),
        ({"accelerators_per_host": 8}, True),
        ({"scale_up_size": 8, "scale_out_bandwidth_bytes_s": 0.0}, True),
        ({"scale_up_size": 8, "scale_out_bandwidth_bytes_s": 50e9}, False),
        ({"scale_up_size": 8, "scale_out_link": "Ethernet"}, False),
        ({"scale_up_size": 16, "accelerators_per_host": 8}, False),
        ({}, False),
    ],
)
def test_one_server_over_scale_up_domains(links: dict[str, Any], refused: bool) -> None:
    """Only with a network between them; where no size is known, nothing is."""
    plugins = FakePlugins()
    plugins.links = links
    suite = _suite(topology=Topology(tp=16))
    if not refused:
        assert _plan(suite, plugins).deployments[0].request.hardware.count == 16
        return
    with pytest.raises(UsageError, match=r"sku has 8, and no scale-out network") as caught:
        _plan(suite, plugins)
    assert caught.value.message.startswith("deployments[0].topology: tp16 needs 16 accelerators")


def test_images_need_a_launcher_that_starts_them() -> None:
    """Otherwise the process would run outside of its image, and the result would name it."""
    plugins = FakePlugins()
    suite = _suite(roles=FrozenMap({"server": RoleSettings(image="engine:1")}))
    with pytest.raises(
        UsageError, match=r"not start container images, but .* 'engine:1'"
    ) as caught:
        _plan(suite, plugins)
    assert caught.value.message.startswith("deployments[0].launcher: the launcher 'local'")
    plugins.images = True
    assert _plan(suite, plugins).deployments[0].launch.processes[0].image == "engine:1"


def test_an_engine_for_accelerators_is_never_planned_for_a_cpu(monkeypatch) -> None:
    """Neither where no hardware is named, nor where it is the CPU by name."""
    plugins = FakePlugins(needs_accelerators=True)
    _plan(_suite(hardware=PluginRef("gpus")), plugins)
    plugins.accelerated = False
    for suite in (_suite(), _suite(hardware=PluginRef("cpu"))):
        with pytest.raises(UsageError, match=r"^deployments\[0\].hardware: .* needs acc") as caught:
            _plan(suite, plugins)
        assert "--hardware NAME" in caught.value.hint


@pytest.mark.parametrize(
    ("changes", "value", "said"),
    [
        (
            {"api_key_env": "MY_KEY"},
            None,
            "variable MY_KEY, for the API key, is not",
        ),
        (
            {"api_key_env": "MY_KEY"},
            "",
            "variable MY_KEY, for the API key, is empty",
        ),
        ({"api_key_env": "MY_KEY"}, "a\nb", "MY_KEY cannot be sent in an HTTP header"),
        (
            {"api_key_env": "hf_abcdefgh"},
            None,
            "variable with that name, for the API key",
        ),
        ({"api_key_env": "sk-abcdefgh"}, None, "api_key_env: expected the NAME"),
        (
            {"start_timeout_s": 1e300},
            None,
            "start_timeout_s: expected at most 604,800 s, got 1e[+]300",
        ),
        (
            {"processes": (), "endpoints": (EndpointSpec(url="http://h:99999"),)},
            None,
            "the address of the server: expected http://HOST:PORT",
        ),
        (
            {"processes": (ProcessSpec(argv=("x",), environment={"A": "{secret:MY_KEY}"}),)},
            None,
            "the environment variable MY_KEY, for a secret, is not set",
        ),
    ],
)
def test_what_a_plan_takes_from_outside_is_there(
    monkeypatch, changes: dict[str, Any], value: str | None, said: str
) -> None:
    """Of any engine, before anything starts; no key is shown."""
    monkeypatch.delenv("MY_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("MY_KEY", value)
    plan = Wrapping.plan
    monkeypatch.setattr(Wrapping, "plan", lambda *args: attrs.evolve(plan(*args), **changes))
    with pytest.raises(UsageError, match=rf"^deployments\[0\].engine: .*{said}") as caught:
        _plan(_suite())
    assert "abcdefgh" not in caught.value.message + caught.value.hint


def test_a_port_that_no_process_takes_is_refused(monkeypatch) -> None:
    """An engine whose processes listen nowhere, or at sockets of their own."""
    silent = LaunchPlan(processes=(ProcessSpec(argv=("x",), ports=()),))
    _plan(_suite(port=80))
    monkeypatch.setattr(Wrapping, "plan", lambda *_: silent)
    with pytest.raises(UsageError, match=r"^deployments\[0\].port: no process of the engine 'e'"):
        _plan(_suite(port=80))


def test_a_threshold_beyond_what_a_score_can_be_blames_the_model(monkeypatch) -> None:
    """Its eval would never pass."""
    threshold = attrs.evolve(MODEL.thresholds[0], minimum=50.0)
    model = attrs.evolve(MODEL, thresholds=(threshold,))
    monkeypatch.setattr(FakePlugins, "model", lambda self, name: model)
    with pytest.raises(PluginError, match="the model 'm' has a threshold of 50 for the eval 'v'"):
        _plan(_suite())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"workloads": (), "evals": ()}, "workloads: neither a workload nor an eval is given"),
        ({"use": tuple(map(PluginRef, "aba"))}, r"use\[2\]: 'a' is given twice"),
        (
            {"use": (PluginRef("a"), PluginRef("a", FrozenMap(x="1")))},
            r"use\[1\]: 'a' is given twice",
        ),
        ({"reporters": (PluginRef("r"), PluginRef("r"))}, r"reporters\[1\]: 'r' is given twice"),
        ({"requires": ("attrs", "attrs")}, r"requires\[1\]: 'attrs' is given twice"),
    ],
)
def test_lists_with_nothing_or_with_one_thing_twice(changes: dict[str, Any], said: str) -> None:
    """Told with the place of the second."""
    with pytest.raises(UsageError, match=f"^{said}"):
        _plan(attrs.evolve(_suite(), **changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"pools": (PoolRequest(),), "topology": Topology(tp=2)},
            r"deployments\[0\].topology: pools are given",
        ),
        (
            {"pools": (PoolRequest(role="prefill"),)},
            r"deployments\[0\].pools\[0\].role: there is a pool for prefill and none for decode",
        ),
        (
            {"pools": (PoolRequest(role="decode"), PoolRequest(role="decode", name="b"))},
            r"deployments\[0\].pools\[0\].role: there is a pool for decode and none for prefill",
        ),
        (
            {
                "pools": (
                    PoolRequest(role="prefill", name="x"),
                    PoolRequest(role="decode", name="x"),
                )
            },
            r"deployments\[0\].pools\[1\]: there are two pools 'x'",
        ),
        (
            {"pools": (PoolRequest(), PoolRequest())},
            r"deployments\[0\].pools\[1\]: there are two pools",
        ),
        *(
            (
                {"pools": (PoolRequest(name=name),)},
                rf"deployments\[0\].pools\[0\].name: expected letters, .* got '{name}'",
            )
            for name in ("a b", "a.b", "1a", "ä", " ")
        ),
        (
            {"pools": (PoolRequest(name="decode"),)},
            r"deployments\[0\].pools\[0\].name: the name 'decode' is that of another role",
        ),
    ],
)
def test_pools_that_would_be_dropped_or_mistaken(changes: dict[str, Any], said: str) -> None:
    """A topology beside pools, a second pool of a role, a name that no symbol can have."""
    with pytest.raises(UsageError, match=f"^{said}"):
        _plan(_suite(**changes))


class Routed(Wrapping):
    """Has a router, and workers of another engine."""

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """A process for each pool by its name, and the router."""
        names = [pool.key for pool in request.layout.pools]
        return LaunchPlan(
            processes=tuple(ProcessSpec(role=name, argv=("serve",)) for name in (*names, "router")),
            wraps=FrozenMap(dict.fromkeys(names, "inner")),
        )


def test_a_pool_with_the_name_of_another_process_is_refused() -> None:
    """It is the user's name, not a fault of the engine's plugin."""
    plugins = FakePlugins()
    plugins.made = Routed()
    with pytest.raises(UsageError, match=r"pools\[0\].name: another process .* called 'router'"):
        _plan(_suite(pools=(PoolRequest(name="router"),)), plugins)


@pytest.mark.parametrize(
    ("pool", "inner", "said"),
    [
        ({}, {"hardware": ("nvidia",)}, r"deployments\[0\].hardware: the engine 'inner' does not"),
        (
            {"topology": Topology(tp=2)},
            {"axes": ()},
            r"pools\[0\].topology.tp: the engine 'inner' does not support tp=2",
        ),
    ],
)
def test_workers_of_another_engine_are_asked_for_what_it_can(
    monkeypatch, pool: dict[str, Any], inner: dict[str, Any], said: str
) -> None:
    """An orchestrator declares what any of its workers can."""
    plugins = FakePlugins()
    plugins.made = Routed()
    spec = plugins.spec

    def of_both(kind: str, name: str) -> Any:
        found = spec(kind, name)
        if (kind, name) != ("engine", "inner"):
            return found
        return attrs.evolve(found, capabilities=attrs.evolve(plugins.capabilities, **inner))

    monkeypatch.setattr(plugins, "spec", of_both)
    with pytest.raises(UsageError, match=said):
        _plan(_suite(pools=(PoolRequest(**pool),)), plugins)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        (("gpus", "tpus"), r"pools\[1\].hardware: the engine 'e' does not run on 'tpus'"),
        (("tpus", None), r"pools\[0\].hardware: the engine 'e' does not run on 'tpus'"),
        (("gpus", None), r"deployments\[0\].hardware: the engine 'e' does not run on 'cpu'"),
        (("gpus", "gpus"), None),
    ],
)
def test_each_pool_runs_on_what_the_engine_runs_on(
    own: tuple[str | None, ...], said: str | None
) -> None:
    """That of the deployment counts if a pool is on it, and is told first."""
    pools = tuple(PoolRequest(name=f"p{number}") for number in range(len(own)))
    hardware = "gpus" if said is None or "cpu" not in said else "cpu"
    deployment = ResolvedDeployment(
        request=_suite(pools=pools).deployments[0],
        hardware=ResolvedHardware(plugin=PluginRef(hardware)),
        layout=Layout(),
        path="deployments[0]",
        pool_hardware=FrozenMap(
            {
                pool.key: ResolvedHardware(plugin=PluginRef(name))
                for pool, name in zip(pools, own, strict=True)
                if name is not None
            }
        ),
    )
    wrong = contextlib.nullcontext() if said is None else pytest.raises(UsageError, match=said)
    with wrong:
        check_hardware(deployment, FakePlugins(hardware=("gpus",)), Places())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"flags": FrozenMap({"--x": "{port:kv}"})}, r"flags.--x: .* no value for \{port:kv\}"),
        ({"flags": FrozenMap({"--x": ("a", "{b.0.host}")})}, r"no value for \{b.0.host\}"),
        ({"flags": FrozenMap({"--x": "{server.1.host}"})}, r"no value for \{server.1.host\}"),
        ({"flags": FrozenMap({"--x": "{secret:HOME}"})}, r"no value for \{secret:HOME\}"),
        ({"environment": FrozenMap(A="{file:f}")}, r"environment.A: .* no value for \{file:f\}"),
        (
            {"roles": FrozenMap(server=RoleSettings(flags=FrozenMap({"--x": "{ports:kv}"})))},
            r"roles.server.flags.--x: .* no value for \{ports:kv\}",
        ),
        ({"flags": FrozenMap({"--x": "{port:http} {host} {server.0.host} {other}"})}, None),
        ({"environment": FrozenMap(A="{secret:HOME}")}, None),
    ],
)
def test_symbols_of_the_suite_have_values(changes: dict[str, Any], said: str | None) -> None:
    """Otherwise the launch would fail, and blame the plugin. What is no symbol is text."""
    if said is None:
        assert _plan(_suite(**changes))
        return
    with pytest.raises(UsageError, match=said) as refused:
        _plan(_suite(**changes))
    assert refused.value.hint


class Filed(Wrapping):
    """Has a file of settings."""

    def __init__(self, file: FileSpec | None = None) -> None:
        content = FrozenMap({"port": "{port:http}"})
        self._file = file or FileSpec(name="a.yaml", content=content)

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """One process."""
        server = ProcessSpec(role="server", argv=("serve",), files=(self._file,))
        return LaunchPlan(processes=(server,))


@pytest.mark.parametrize(("text", "fine"), [("{port:http}", True), ("{port:kv}", False)])
def test_symbols_in_a_file_of_the_suite_have_values(text: str, fine: bool) -> None:
    """As in flags."""
    plugins = FakePlugins()
    plugins.made = Filed()
    own = RoleSettings(files=FrozenMap({"a.yaml": FrozenMap({"b": FrozenMap({"c": text})})}))
    wrong = pytest.raises(UsageError, match=r"roles.server.files.a.yaml: .* \{port:kv\}")
    with contextlib.nullcontext() if fine else wrong:
        _plan(_suite(roles=FrozenMap(server=own)), plugins)


@pytest.mark.parametrize(
    ("value", "content"),
    [
        (5, None),
        ("text", None),
        ((), None),
        (FrozenMap(), {"a": {"b": 1, "c": {"d": 2}}}),
        (FrozenMap(c=7), None),
        (FrozenMap(b=7), {"a": {"b": 7, "c": {"d": 2}}}),
        (FrozenMap(c=FrozenMap(d=7)), {"a": {"b": 1, "c": {"d": 7}}}),
        (FrozenMap(b=FrozenMap(e=7)), {"a": {"b": {"e": 7}, "c": {"d": 2}}}),
        (None, {}),
    ],
)
def test_a_mapping_of_a_file_is_replaced_by_no_other_value(value: Any, content: Any) -> None:
    """Its keys are set, or null removes all of it."""
    plugins, inner = FakePlugins(), FrozenMap({"b": 1, "c": FrozenMap({"d": 2})})
    file = FileSpec(name="a.yaml", content=FrozenMap({"a": inner}))
    plugins.made = Filed(file)
    suite = _suite(
        roles=FrozenMap(server=RoleSettings(files=FrozenMap({"a.yaml": FrozenMap(a=value)})))
    )
    if content is not None:
        (deployment,) = _plan(suite, plugins).deployments
        assert deployment.launch.processes[0].files[0].content == content
        return
    said = r"roles.server.files.a.yaml.a(.c)?: expected a mapping, which the engine's file has"
    with pytest.raises(UsageError, match=said) as refused:
        _plan(suite, plugins)
    assert "null to remove it" in refused.value.hint


def test_stop_rules() -> None:
    """Requests by concurrency, a time by default, the least that a steady state needs."""

    def stops(**load: Any) -> list[Any]:
        suite = attrs.evolve(_suite(), load=LoadRequest(concurrency=(1, 4), **load))
        return [p.stop for p in _plan(suite).deployments[0].points]

    assert [(s.duration_s, s.min_requests) for s in stops()] == [(10.0, 4), (10.0, 16)]
    assert [s.min_requests for s in stops(duration_s=5)] == [None, None]
    assert [s.requests for s in stops(requests_per_concurrency=10)] == [10, 40]
    assert [s.requests for s in stops(requests_per_concurrency=10, requests=15)] == [10, 15]
    assert [s.min_requests for s in stops(min_requests_per_concurrency=1.5)] == [2, 6]


@pytest.mark.parametrize(
    ("context", "load", "said"),
    [
        (10**9, {"requests": 1}, "needs a context of 1,000,000,000 tokens"),
        (10**6, {"requests": 10**6}, "1,000,000 prompts of up to 1,000,000 tokens"),
        (10**7, {"rate": (100.0,), "duration_s": 100.0}, "10,000 prompts of up to"),
        (10**7, {"concurrency": (1024,)}, "4,096 prompts of up to 10,000,000"),
    ],
)
def test_prompts_that_would_fill_a_disk_are_refused(
    monkeypatch, context: int, load: dict[str, Any], said: str
) -> None:
    """One that is too long, or too many of a length; those of the warm-up too."""
    monkeypatch.setattr(Fixed, "context_tokens", lambda self: context)
    with pytest.raises(UsageError, match=said):
        _plan(attrs.evolve(_suite(), load=LoadRequest(**load)))


def test_a_secret_in_a_suite_is_refused(monkeypatch) -> None:
    """It would stand in the plan and in results; a symbol takes it from the environment, where it
    must be.
    """
    asked = DeploymentRequest(engine=PluginRef("e"), model=PluginRef("m"))
    told = attrs.evolve(asked, environment=FrozenMap({"HF_TOKEN": "hf_abc"}))
    named = attrs.evolve(asked, environment=FrozenMap({"HF_TOKEN": "{secret:HF_TOKEN}"}))
    plain = attrs.evolve(asked, environment=FrozenMap({"TOKENIZERS_PARALLELISM": "0"}))
    with pytest.raises(UsageError, match=r"HF_TOKEN: it looks like a secret") as caught:
        _plan(Suite(deployments=(told,)))
    assert "hf_abc" not in caught.value.message + caught.value.hint
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(UsageError, match="the environment variable HF_TOKEN, for a secret, is not"):
        _plan(Suite(deployments=(named,)))
    monkeypatch.setenv("HF_TOKEN", "hf_abc")
    for fine in (named, plain):
        _plan(Suite(deployments=(fine,)))


def test_the_hardware_is_probed_once_per_plan(tmp_path: Path) -> None:
    """Two deployments on the same hardware; the plan keeps probe and devices."""
    plugins = FakePlugins()
    plugins.log = str(tmp_path / "log")
    (asked,) = _suite().deployments
    plan = _plan(Suite(deployments=(asked, attrs.evolve(asked, topology=Topology(tp=4)))), plugins)
    assert [len(d.devices) for d in plan.deployments] == [1, 4]
    assert {d.devices[0].sku for d in plan.deployments} == {"sku"}
    assert plan.deployments[0].probe is plan.deployments[1].probe
    assert Path(plugins.log).read_text() == "probed\n"


def test_one_place_chooses_cores_and_load_workers() -> None:
    """The plan has the cores; each point the load workers that it will use."""
    load = LoadRequest(concurrency=(1, 3000))
    plan = _plan(attrs.evolve(_suite(), load=load))
    assert plan.cores == split_cores(WorkerCount(), 3000)
    low, high = plan.deployments[0].points
    assert (low.load_workers, high.load_workers_wanted) == (1, 3)
    assert high.load_workers == len(plan.cores.workers)
    assert plan.data()["cores"] == {
        "engine": list(plan.cores.engine),
        "workers": list(plan.cores.workers),
    }


@pytest.mark.parametrize(
    ("deployment", "said"),
    [
        (
            "topology: {tp: 0}",
            ":3: deployments[0].topology.tp: expected between 1 and 4,096, got 0",
        ),
        ("topology: {ep: -1}", ":3: deployments[0].topology.ep: expected between"),
        ("port: 70000", ":3: deployments[0].port: expected between 1 and 65,535, got 70000"),
        ("pools: [{replicas: 0}]", ":3: deployments[0].pools[0].replicas: expected between"),
        ("pools: [{topology: {pp: 9999}}]", ":3: deployments[0].pools[0].topology.pp: expected"),
    ],
)
def test_degrees_replicas_and_ports_are_counted_from_one(
    tmp_path: Path, deployment: str, said: str
) -> None:
    """And end somewhere."""
    with pytest.raises(UsageError) as caught:
        _plan_file(tmp_path, f"deployments:\n- engine: a\n  {deployment}")
    assert said in caught.value.message


def _plan_file(folder: Path, text: str) -> Any:
    file = folder / "suite.yaml"
    file.write_text(text)
    suite, document = read_suite(file)
    return _plan(suite, None, Places(document))


def test_a_suite_without_deployments_is_refused(tmp_path: Path) -> None:
    """With the line of the key."""
    with pytest.raises(UsageError, match=r"suite.yaml:1: deployments: no deployment"):
        _plan_file(tmp_path, "deployments: []")


@pytest.mark.parametrize(
    ("load", "repeats"),
    [
        ({}, 3),
        ({"duration_s": 30.0}, 1),
        ({"requests": 8}, 1),
        ({"requests_per_concurrency": 2.0}, 1),
        ({"repeats": RepeatsRequest(at_least=2, at_most=2)}, 2),
    ],
)
def test_default_repeats_are_enough_for_every_check(load: dict[str, Any], repeats: int) -> None:
    """Three of the default length; one of a length that the user chose."""
    resolved = resolve_load(LoadRequest(**load), Places())
    assert (resolved.repeats.at_least, resolved.repeats.at_most) == (repeats, repeats)
