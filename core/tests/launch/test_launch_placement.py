"""Which process runs where: ranks, replicas, sidecars, SKUs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenbench.api import HardwareAbsent, Host, PluginError, ProcessSpec
from tokenbench.launch.placement import Device, place


def _hosts(*names: str) -> list[Host]:
    return [Host(name=name, address=name) for name in names]


def _devices(count: int, sku: str | None = None) -> list[Device]:
    return [Device(str(number), sku) for number in range(count)]


def _shown(*specs: ProcessSpec, **devices: list[Device]) -> list[str]:
    placed = place(specs, _hosts(*devices), devices)
    return [f"{p.name} {p.host.name} {','.join(p.devices)}".strip() for p in placed]


def test_replicas_fill_one_host_after_the_other() -> None:
    """In the order of the hosts."""
    spec = ProcessSpec(role="prefill", argv=("x",), replicas=3, accelerators=4)
    assert _shown(spec, a=_devices(8), b=_devices(8)) == [
        "prefill-0 a 0,1,2,3",
        "prefill-1 a 4,5,6,7",
        "prefill-2 b 0,1,2,3",
    ]


def test_ranks_go_to_different_hosts() -> None:
    """As far as there are enough; then two run on one."""
    spec = ProcessSpec(role="d", argv=("x",), ranks=3, accelerators=6)
    assert _shown(spec, a=_devices(4), b=_devices(4)) == ["d-0 a 0,1", "d-0-1 b 0,1", "d-0-2 a 2,3"]


def test_a_sidecar_runs_beside_the_replica_of_its_number() -> None:
    """Wherever it is planned."""
    worker = ProcessSpec(role="w", argv=("x",), replicas=2, accelerators=8)
    side = ProcessSpec(role="store", argv=("x",), replicas=2, beside="w")
    assert _shown(side, worker, a=_devices(8), b=_devices(8)) == [
        *("store-0 a", "store-1 b", "w-0 a 0,1,2,3,4,5,6,7", "w-1 b 0,1,2,3,4,5,6,7")
    ]
    with pytest.raises(PluginError, match="beside 'none', but there is no such process"):
        _shown(ProcessSpec(argv=("x",), beside="none"), a=[])


def test_processes_without_accelerators_are_spread() -> None:
    """The host with the fewest processes."""
    spec = ProcessSpec(role="w", argv=("x",), replicas=3)
    assert _shown(spec, a=[], b=[]) == ["w-0 a", "w-1 b", "w-2 a"]


def test_a_pool_gets_its_own_kind_of_accelerator() -> None:
    """One of unknown kind fits everywhere."""
    prefill = ProcessSpec(role="p", argv=("x",), accelerators=2, sku="h100")
    decode = ProcessSpec(role="d", argv=("x",), accelerators=2, sku="h200")
    both = {"a": _devices(2, "h200"), "b": _devices(2, "h100")}
    assert _shown(prefill, decode, **both) == ["p-0 b 0,1", "d-0 a 0,1"]
    assert _shown(prefill, a=_devices(2)) == ["p-0 a 0,1"]
    with pytest.raises(
        HardwareAbsent, match="p 0 needs 2 x h100 on one host; no host has more than 0 free"
    ):
        _shown(prefill, a=_devices(8, "h200"))


def test_a_rank_does_not_span_hosts() -> None:
    """Eight accelerators on two hosts of four are no place for a process of eight."""
    with pytest.raises(
        HardwareAbsent, match="w 0 needs 8 accelerators on one host; no host has more than 4 free"
    ):
        _shown(ProcessSpec(role="w", argv=("x",), accelerators=8), a=_devices(4), b=_devices(4))


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.integers(1, 3)), max_size=4),
    st.lists(st.integers(0, 8), min_size=1, max_size=4),
)
def test_no_device_is_used_twice(roles: list[tuple[int, int, int]], counts: list[int]) -> None:
    """Every rank has as many as it needs, all on its host; or it is refused."""
    specs = [
        ProcessSpec(
            role=f"r{n}", argv=("x",), replicas=replicas, ranks=ranks, accelerators=each * ranks
        )
        for n, (each, replicas, ranks) in enumerate(roles)
    ]
    hosts = {f"h{n}": _devices(count) for n, count in enumerate(counts)}
    try:
        placed = place(specs, _hosts(*hosts), hosts)
    except HardwareAbsent:
        return
    used = [(p.host.name, device) for p in placed for device in p.devices]
    assert len(used) == len(set(used))
    needed = {spec.role: spec.accelerators // spec.ranks for spec in specs}
    assert all(len(p.devices) == needed[p.role] for p in placed)
    assert len(placed) == sum(spec.replicas * spec.ranks for spec in specs)
