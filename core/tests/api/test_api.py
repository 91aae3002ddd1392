"""General properties of the API: frozen, hashable, documented, with defaults."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil

import attrs
import pytest

from tokenbench import api
from tokenbench.api import (
    Endpoint,
    Engine,
    EngineError,
    FixedLoadPlan,
    FrozenMap,
    Layout,
    LoadLevel,
    Pool,
    Reply,
    Topology,
    freeze,
)

CLASSES = [getattr(api, name) for name in api.__all__ if inspect.isclass(getattr(api, name))]


# Sessions have a state.
DATA = [c for c in CLASSES if attrs.has(c) and not issubclass(c, api.Session)]


@pytest.mark.parametrize("cls", DATA, ids=lambda c: c.__name__)
def test_data_is_frozen_slotted_and_documented(cls: type) -> None:
    """For every data class."""
    assert cls.__doc__
    assert cls.__setattr__ is not object.__setattr__
    assert not any("__dict__" in vars(c) for c in cls.__mro__[:-1] if c.__module__ != "abc")
    for field in attrs.fields(cls):
        assert not isinstance(field.default, list | dict), field.name


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_public_methods_are_documented(cls: type) -> None:
    """The reference is generated from docstrings; those of properties count too."""
    for name, member in vars(cls).items():
        if not name.startswith("_") and (
            inspect.isfunction(member) or isinstance(member, property)
        ):
            assert member.__doc__, f"{cls.__name__}.{name}"


def test_all_public_classes_are_exported() -> None:
    """Of every module of the API, except for the deprecation machinery."""
    modules = {module.name for module in pkgutil.iter_modules(api.__path__)} - {"deprecation"}
    assert {"engine", "load", "report"} <= modules
    for module in modules:
        loaded = importlib.import_module(f"tokenbench.api.{module}")
        for name, member in vars(loaded).items():
            own = getattr(member, "__module__", "") == loaded.__name__
            if inspect.isclass(member) and own and not name.startswith("_"):
                assert name in api.__all__, name


def test_frozen_map() -> None:
    """Ordered, hashable, immutable, picklable; replaced keys keep their position."""
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


def test_json_data_is_frozen_at_every_depth() -> None:
    """Objects in lists too; values that are already immutable stay as they are."""
    found = freeze({"a": [{"b": [1, None]}], "c": FrozenMap(d=(2,)), "e": "text"})
    assert found == {"a": (FrozenMap(b=(1, None)),), "c": FrozenMap(d=(2,)), "e": "text"}
    assert hash(found) == hash(freeze(found))


def test_errors_can_be_pickled() -> None:
    """With message, hint and exit code, for other processes."""
    error = pickle.loads(pickle.dumps(EngineError("what", hint="do")))
    assert (error.message, error.hint, error.exit_code) == ("what", "do", 5)


def test_layouts_count_accelerators() -> None:
    """tp, pp and pcp multiply; ep and attention parallelism reuse accelerators."""
    assert Topology(tp=4, pp=2, ep=8, attention_dp=4).accelerators == 8
    assert Topology(tp=8, ep=32, attention_dp=8).accelerators == 32
    assert Topology(tp=2, dp=4, pcp=2).accelerators == 16
    assert Topology(dp=8, ep=8).label == "dp8ep8"
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
    """Exactly one of them."""
    with pytest.raises(ValueError, match="concurrency"):
        LoadLevel(**bad)


@pytest.mark.covers("FixedLoadPlan.next")
def test_a_load_plan_ends() -> None:
    """One level per result, then None."""
    levels = (LoadLevel(concurrency=1), LoadLevel(rate_per_s=2.5))
    plan = FixedLoadPlan(levels)
    assert [plan.next([None] * n) for n in range(3)] == [*levels, None]  # type: ignore[list-item]
    assert [level.label for level in levels] == ["c1", "r2.5"]


class Bare(Engine):
    """An engine with only the required method."""

    def plan(self, request: object) -> api.LaunchPlan:
        """Two roles."""
        return api.LaunchPlan(
            processes=(
                api.ProcessSpec(role="prefill", argv=("p",)),
                api.ProcessSpec(role="decode", argv=("d",)),
            )
        )


class StubServer:
    """A server with one status for all requests."""

    endpoints = (Endpoint(role="server", index=0, url="http://h"),)

    def __init__(self, status: int) -> None:
        self.status = status

    def get(self, path: str, *, endpoint: int = 0) -> Reply:
        """A reply with that status."""
        return Reply(status=self.status, text="")

    post = get


@pytest.mark.covers("Engine.worker")
def test_defaults_of_an_engine() -> None:
    """Workers are those of the plan; other methods return None or False."""
    engine, request = Bare(), None
    assert engine.worker(request, "decode").argv == ("d",)  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        engine.worker(request, "router")  # type: ignore[arg-type]
    assert engine.ready(StubServer(200)) and not engine.ready(StubServer(503))  # type: ignore[arg-type]
    assert engine.version(StubServer(200)) is None  # type: ignore[arg-type]
    assert engine.planned_version() is None
    assert engine.reset_cache(StubServer(200)) is None  # type: ignore[arg-type]
    assert engine.quiescent(StubServer(200)) is None  # type: ignore[arg-type]
    assert engine.counters([api.parse_metrics("x 1")]) == api.Counters()
    assert engine.diagnose("Error: x") is None and engine.phase("loading") is None
    assert engine.dialect(request) == api.Dialect()  # type: ignore[arg-type]
