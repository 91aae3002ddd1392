"""The API's own promises: frozen, hashable, honest defaults."""

from __future__ import annotations

import importlib
import inspect
import pickle

import attrs
import pytest

from tokenbench import api
from tokenbench.api import (
    Allocation,
    Endpoint,
    Engine,
    EngineError,
    FixedLoadPlan,
    FrozenMap,
    Layout,
    LoadLevel,
    Placement,
    Pool,
    Reply,
    Topology,
    parse_prometheus,
)

CLASSES = [getattr(api, name) for name in api.__all__ if inspect.isclass(getattr(api, name))]


@pytest.mark.parametrize("cls", [c for c in CLASSES if attrs.has(c)], ids=lambda c: c.__name__)
def test_data_is_frozen_slotted_and_documented(cls: type) -> None:
    """What crosses a boundary cannot be changed on the way."""
    assert cls.__doc__
    assert cls.__setattr__ is not object.__setattr__
    assert not any("__dict__" in vars(c) for c in cls.__mro__[:-1] if c.__module__ != "abc")
    for field in attrs.fields(cls):
        assert not isinstance(field.default, list | dict), field.name


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_public_methods_are_documented(cls: type) -> None:
    """A reference is made of docstrings."""
    for name, member in vars(cls).items():
        if not name.startswith("_") and inspect.isfunction(member):
            assert inspect.getdoc(member), f"{cls.__name__}.{name}"


def test_all_is_what_there_is() -> None:
    """Every public class of the API's modules is exported."""
    exported = set(api.__all__)
    for module in ("engine", "launch", "workload", "codec", "eval", "result", "specs", "events"):
        loaded = importlib.import_module(f"tokenbench.api.{module}")
        for name, member in vars(loaded).items():
            own = getattr(member, "__module__", "") == loaded.__name__
            if inspect.isclass(member) and own and not name.startswith("_"):
                assert name in exported, name


def test_frozen_map() -> None:
    """Ordered, hashable, unchangeable, picklable; replaced keys keep their place."""
    made = FrozenMap({"b": 1, "a": 2})
    assert list(made) == ["b", "a"]
    assert hash(made) == hash(FrozenMap({"a": 2, "b": 1}))
    assert made == {"a": 2, "b": 1}
    assert list(made.updated({"b": 9, "c": 3}).items()) == [("b", 9), ("a", 2), ("c", 3)]
    assert pickle.loads(pickle.dumps(made)) == made
    with pytest.raises(AttributeError):
        made.x = 1
    with pytest.raises(TypeError):
        made["a"] = 1  # type: ignore[index]


def test_errors_travel_between_processes() -> None:
    """With message, hint and exit code."""
    error = pickle.loads(pickle.dumps(EngineError("what", hint="do")))
    assert (error.message, error.hint, error.exit_code) == ("what", "do", 5)


def test_layouts_count_accelerators() -> None:
    """tp, pp and pcp multiply; ep and attention parallelism use the same ones."""
    assert Topology(tp=4, pp=2, ep=8, dp_attention=True).accelerators == 8
    layout = Layout(
        pools=(
            Pool(role="prefill", replicas=2, topology=Topology(tp=4)),
            Pool(role="decode", topology=Topology(tp=8)),
        )
    )
    assert layout.accelerators == 16
    assert layout.disaggregated
    assert layout.pool("decode").topology.tp == 8
    with pytest.raises(KeyError):
        layout.pool("router")


@pytest.mark.parametrize("bad", [{}, {"concurrency": 1, "rate_per_s": 2.0}, {"concurrency": 0}])
def test_a_level_is_a_concurrency_or_a_rate(bad: dict[str, float]) -> None:
    """Exactly one."""
    with pytest.raises(ValueError, match="concurrency"):
        LoadLevel(**bad)


@pytest.mark.covers("FixedLoadPlan.next")
def test_a_load_plan_ends() -> None:
    """One level a result, then None."""
    levels = (LoadLevel(concurrency=1), LoadLevel(rate_per_s=2.5))
    plan = FixedLoadPlan(levels)
    assert [plan.next([None] * n) for n in range(3)] == [*levels, None]  # type: ignore[list-item]
    assert [level.label for level in levels] == ["c1", "r2.5"]


class Bare(Engine):
    """An engine that writes only what it must."""

    def plan(self, request: object) -> api.LaunchPlan:
        """Two roles."""
        return api.LaunchPlan(
            processes=(
                api.ProcessSpec(role="prefill", argv=("p",)),
                api.ProcessSpec(role="decode", argv=("d",)),
            )
        )


class Answers:
    """A server that answers one thing."""

    endpoints = (Endpoint(role="server", index=0, url="http://h"),)

    def __init__(self, status: int) -> None:
        self.status = status

    def get(self, path: str, *, endpoint: int = 0) -> Reply:
        """That thing."""
        return Reply(status=self.status, text="")

    post = get


@pytest.mark.covers("Engine.worker")
def test_an_engines_defaults_say_does_not() -> None:
    """Workers come from the plan; what it cannot tell is None, what it cannot do is False."""
    engine, request = Bare(), None
    assert engine.worker(request, "decode").argv == ("d",)  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        engine.worker(request, "router")  # type: ignore[arg-type]
    assert engine.ready(Answers(200)) and not engine.ready(Answers(503))  # type: ignore[arg-type]
    assert engine.version(Answers(200)) is None  # type: ignore[arg-type]
    assert engine.planned_version() is None
    assert engine.reset_cache(Answers(200)) is False  # type: ignore[arg-type]
    assert engine.quiescent(Answers(200)) is None  # type: ignore[arg-type]
    assert engine.counters("x 1") == api.Counters()
    assert engine.dialect(request) == api.Dialect()  # type: ignore[arg-type]


def test_late_ports() -> None:
    """A cluster's placements may learn their ports after the allocation."""
    host = api.Host(name="n1", address="10.0.0.1")
    early = Allocation(id="job", hosts=(host,))
    late = attrs.evolve(
        early,
        placements=(Placement(role="server", index=0, host=host, ports=FrozenMap(http=80)),),
    )
    assert early.placements == ()
    assert late.placements[0].ports["http"] == 80


def test_prometheus_pages() -> None:
    """Labels with anything in them, timestamps, exemplars, special values."""
    page = """# HELP a help
a{x="1",y="}\\"{"} 1
a{x="2"} 2.5 1700000000000
b 1e3 # {trace="x"} 1
c NaN
d +Inf
h_bucket{le="+Inf"} 4
h_sum 9
not a sample
"""
    assert parse_prometheus(page) == {
        "a": 3.5,
        "b": 1000.0,
        "d": float("inf"),
        "h_bucket": 4.0,
        "h_sum": 9.0,
    }
