"""Plans: canonical, layered, explained."""

from __future__ import annotations

import pytest

from tokenbench.api import (
    Amendment,
    FileSpec,
    FrozenMap,
    LaunchPlan,
    ProcessSpec,
    Recipe,
    UsageError,
)
from tokenbench.plan.canonical import canonical_json, derive_seed, identity, plain
from tokenbench.plan.layers import Layer, amendment_layers, merge, recipe_layers

SERVER = ProcessSpec(
    argv=("python", "serve"),
    flags=FrozenMap({"--a": 1, "--b": 2}),
    environment=FrozenMap({"V": "engine"}),
)


def test_identity_does_not_depend_on_the_order_of_a_mapping() -> None:
    """And is stable over versions of Python: the value is written down here."""
    assert identity({"b": 1, "a": (1, 2)}) == identity({"a": [1, 2], "b": 1})
    assert identity({"a": 1}) == "015abd7f5cc57a2d"
    assert canonical_json({"b": None, "a": 0.1}) == '{"a":0.1,"b":null}'
    assert identity({"a": 1}) != identity({"a": 1.5})
    with pytest.raises(TypeError):
        plain(object())


def test_seeds_differ_by_every_part() -> None:
    """Phases and levels never share prompts; the same parts give the same seed."""
    parts = [(0, "c1", "warmup"), (0, "c1", "repeat-0"), (0, "c2", "repeat-0"), (1, "c1", "warmup")]
    seeds = [derive_seed(*p) for p in parts]
    assert len(set(seeds)) == len(parts)
    assert seeds == [derive_seed(*p) for p in parts]
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_later_layers_replace_earlier_ones_and_say_so() -> None:
    """engine < recipe < amendment < suite; places are kept, each origin is known."""
    recipe = Recipe(engine="e", flags=FrozenMap({"--b": 3}), source="a page", date="2026-11-21")
    amendment = Amendment(
        reason="faster", flags=FrozenMap({"server": FrozenMap({"--b": 4, "--c": True})})
    )
    suite = Layer(
        name="suite",
        source="suite",
        role=None,
        flags=FrozenMap({"--a": 9}),
        environment=FrozenMap({"V": "suite"}),
    )
    layers = [*recipe_layers([recipe]), *amendment_layers([("plug", amendment)]), suite]
    plan, settings = merge(LaunchPlan(processes=(SERVER,)), "eng", layers)
    assert list(plan.processes[0].flags.items()) == [("--a", 9), ("--b", 4), ("--c", True)]
    assert plan.processes[0].environment == {"V": "suite"}
    by_name = {s.name: s for s in settings}
    assert by_name["--b"].source == "plug: faster"
    assert by_name["--b"].replaced == (
        "3 (recipe: a page, 2026-11-21)",
        "2 (engine: eng)",
    )


def test_amendments_that_disagree_are_refused() -> None:
    """Naming both plugins."""

    def wants(value: int) -> Amendment:
        return Amendment(reason="r", flags=FrozenMap({"server": FrozenMap({"--x": value})}))

    plan = LaunchPlan(processes=(SERVER,))
    merge(plan, "eng", amendment_layers([("one", wants(1)), ("two", wants(1))]))
    with pytest.raises(UsageError, match="one sets --x = 1, but two sets 2"):
        merge(plan, "eng", amendment_layers([("one", wants(1)), ("two", wants(2))]))


def test_amendments_may_add_files_and_processes() -> None:
    """A transfer library that needs a master beside the server."""
    master = ProcessSpec(role="master", argv=("master",))
    amendment = Amendment(
        reason="r",
        files=FrozenMap({"server": (FileSpec(name="c.json", content="{}"),)}),
        processes=(master,),
    )
    plan, _ = merge(LaunchPlan(processes=(SERVER,)), "eng", [], [amendment])
    assert [p.role for p in plan.processes] == ["server", "master"]
    assert plan.processes[0].files[0].name == "c.json"
