"""Accelerators of a SKU: from the catalogue while planning, on this machine for a run."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from tokenbench.api import FrozenMap, HardwareAbsent, NodeProgram, Sku, UsageError
from tokenbench.guard.owner import Owner
from tokenbench.plan.hardware import PlannedHardware, ResolvedHardware, plan_hardware
from tokenbench.plan.probe import Prober
from tokenbench.suite.schema import PluginRef

X1 = Sku(name="x1", vendor="v", source="s", date="2026-11", aliases=("acme x1",))
X2 = Sku(name="x2", vendor="v", source="s", date="2026-11")
# By alias, by its own name, of another kind, in a mode that has no SKU.
MIXED = (
    {"index": 0, "name": "ACME X2", "sku": "x2"},
    {"index": 1, "name": "ACME X1"},
    {"index": 2, "name": "ACME X1 (partitioned)"},
    {"index": 3, "name": "ACME X1", "sku": "x1"},
)


def _plan(
    found: dict[str, Any] | None,
    *,
    count: int | None = None,
    accelerators: int = 1,
    by_catalogue: bool = False,
) -> PlannedHardware:
    def program() -> NodeProgram:
        assert found is not None, "a plan by catalogue must not probe"
        options = FrozenMap({"found": json.dumps(found)})
        return NodeProgram(module="planned_node", options=options)

    hardware = SimpleNamespace(program=program, catalogue=lambda: (X1, X2))
    plugins: Any = SimpleNamespace(hardware=lambda ref: hardware, owner=Owner)
    return plan_hardware(
        ResolvedHardware(plugin=PluginRef("acme"), sku=X1, count=count),
        Prober(plugins),
        accelerated=True,
        accelerators=accelerators,
        by_catalogue=by_catalogue,
        place="deployments[0].hardware",
    )


def test_a_plan_by_catalogue_has_no_devices() -> None:
    """Its facts are those of the SKU; the notes say what a run needs and what is left over."""
    planned = _plan(None, count=8, accelerators=2, by_catalogue=True)
    assert (planned.facts.kind, planned.facts.sku, planned.facts.count) == ("acme", "x1", 2)
    assert planned.devices == () and planned.probe.devices == ()
    assert [note.partition(":")[0] for note in planned.notes] == [
        "planned from the catalogue",
        "2 of 8 x x1 are used; a larger topology (--tp) uses more",
    ]
    exact = _plan(None, count=None, accelerators=2, by_catalogue=True)
    assert len(exact.notes) == 1 and "2 x x1" in exact.notes[0]


def test_a_run_takes_the_devices_of_the_sku() -> None:
    """Of a machine with several kinds; as many as the topology needs. The facts are the same."""
    planned = _plan({"devices": MIXED}, count=2, accelerators=1)
    assert [device.index for device in planned.devices] == [1]
    assert planned.facts == _plan(None, count=2, accelerators=1, by_catalogue=True).facts
    both = _plan({"devices": MIXED}, accelerators=2)
    assert [device.index for device in both.devices] == [1, 3]
    assert both.notes == ()


@pytest.mark.parametrize(
    ("devices", "count", "accelerators", "why"),
    [
        (MIXED, 3, 1, "does not have 3 x x1: 2 found"),
        (MIXED, None, 3, "does not have 3 x x1: 2 found"),
        (MIXED[:1], 1, 1, "does not have 1 x x1: it has x2"),
        (MIXED[2:3], 1, 1, r"does not have 1 x x1: it has ACME X1 \(partitioned\)"),
        ((), 1, 1, "does not have 1 x x1: no driver"),
    ],
)
def test_a_run_without_the_devices_is_refused(
    devices: tuple[dict[str, Any], ...], count: int | None, accelerators: int, why: str
) -> None:
    """With what there is instead."""
    with pytest.raises(HardwareAbsent, match=why):
        _plan(
            {"devices": devices, "reason": "no driver"},
            count=count,
            accelerators=accelerators,
        )


@pytest.mark.parametrize("by_catalogue", [True, False])
def test_a_topology_larger_than_the_count_is_refused(by_catalogue: bool) -> None:
    """Before anything is probed."""
    with pytest.raises(UsageError, match=r"deployments\[0\].hardware: the topology needs 9"):
        _plan(None, count=8, accelerators=9, by_catalogue=by_catalogue)
