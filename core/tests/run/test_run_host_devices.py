"""The accelerators of another host, for the placement of processes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tokenbench.api import DeviceInfo, HardwareAbsent, Host, Probe, ProcessSpec, Sku
from tokenbench.launch.placement import Device, place
from tokenbench.plan import probe
from tokenbench.run.host_devices import devices_of
from tokenbench.suite.plugin_ref import PluginRef

SOURCE = {"vendor": "Acme", "source": "https://example.org", "date": "2026-12-01"}
CATALOGUE = (
    Sku(name="h100", aliases=("acme h100 80gb",), **SOURCE),
    Sku(name="h200", aliases=("acme h200",), **SOURCE),
)


@pytest.fixture
def other_host(monkeypatch) -> Any:
    """The devices of another host, whose driver reports these names."""

    def devices(*names: str, here: bool = False) -> list[Device]:
        found = tuple(DeviceInfo(index=n, name=name) for n, name in enumerate(names))
        program = SimpleNamespace(probe=lambda: Probe(devices=found))
        monkeypatch.setattr(probe, "RunningProgram", lambda *_: program)
        hardware = SimpleNamespace(program=lambda: program, catalogue=lambda: CATALOGUE)
        plugins = SimpleNamespace(hardware=lambda _: hardware, owner=lambda *_: None)
        deployment = SimpleNamespace(
            accelerated=True, all_hardware=[PluginRef.of("acme")], devices=()
        )
        agent = SimpleNamespace(is_here=here)
        return devices_of(SimpleNamespace(plugins=plugins), deployment, agent)  # type: ignore[arg-type]

    return devices


def test_devices_of_another_host_have_the_names_of_the_catalogue(other_host) -> None:
    """Drivers report product names. A device that the catalogue does not know keeps its own."""
    found = other_host("ACME H100 80GB", "Acme H200", "acme x1")
    assert found == [Device("0", "h100"), Device("1", "h200"), Device("2", "acme x1")]


def test_this_machine_is_probed_if_the_plan_did_not(other_host) -> None:
    """It is one of a launcher's hosts, or pools have hardware of their own."""
    assert other_host("Acme H200", here=True) == [Device("0", "h200")]


def test_a_plan_for_one_chip_does_not_run_on_another(other_host) -> None:
    """A result planned for H200 is never one of an H100."""
    spec = ProcessSpec(role="server", argv=("serve",), accelerators=2, sku="h200")
    host = Host(name="n1", address="n1")
    message = "server 0 needs 2 x h200 on one host; no host has more than 0 free"
    with pytest.raises(HardwareAbsent, match=message) as refused:
        place([spec], [host], {"n1": other_host("ACME H100 80GB", "ACME H100 80GB")})
    assert refused.value.hint == "the hosts have h100: plan for that with --hardware"
    with pytest.raises(HardwareAbsent, match=message):
        place([spec], [host], {"n1": other_host("ACME H200 MIG 1g", "ACME H20")})
    (placed,) = place([spec], [host], {"n1": other_host("Acme H200", "Acme H200")})
    assert placed.devices == ("0", "1")
