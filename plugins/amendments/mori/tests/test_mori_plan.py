"""What MoRI changes, against what the engines read (captured/engines.json)."""

from __future__ import annotations

from typing import Any

import pytest
from mori_cases import ENGINES, PD, amended
from tokenbench_amendment_mori.options import MoriOptions

from tokenbench.api import Topology, UsageError

ALL: dict[str, Any] = {
    "mode": "low_latency",
    "dispatch_tokens": 512,
    "heap_gib": 6,
    "heap_mode": "isolation",
    "devices": ("ionic_0", "ionic_1"),
    "interface": "eth0",
    "traffic_class": 96,
    "service_level": 3,
    "send_queue": 16384,
}
UNUSED = {"vllm": ("dispatch_tokens", "send_queue"), "atom": ("dispatch_tokens", "mode")}
# Read in MoRI 624002c8 (2026-08-21): docs/MORI-EP-GUIDE.md, docs/MORI-SHMEM-GUIDE.md, src/io and
# src/application. The last is torch's (ProcessGroupNCCL).
MORI = {
    "MORI_EP_LAUNCH_CONFIG_MODE",
    "MORI_SHMEM_HEAP_SIZE",
    "MORI_SHMEM_MODE",
    "MORI_RDMA_DEVICES",
    "MORI_RDMA_TC",
    "MORI_RDMA_SL",
    "MORI_SOCKET_IFNAME",
    "MORI_IO_TC",
    "MORI_IO_SL",
    "MORI_IO_QP_MAX_SEND_WR",
    "TORCH_NCCL_BLOCKING_WAIT",
}


@pytest.mark.parametrize(
    ("roles", "options", "expected"),
    [
        (("server",), {}, {"server": "mori_high_throughput"}),
        (PD, {}, {"prefill": "mori_high_throughput", "decode": "mori_low_latency"}),
        (("server",), {"mode": "low_latency"}, {"server": "mori_low_latency"}),
    ],
)
def test_vllm(roles: tuple[str, ...], options: Any, expected: dict[str, str]) -> None:
    """The all-to-all backend of each pool, as vLLM names them."""
    found = amended("vllm", *roles, **options)
    assert found is not None
    assert {role: f["--all2all-backend"] for role, f in found.flags.items()} == expected
    assert {*expected.values()} <= {*ENGINES["vllm"]["all2all"]}


def test_sglang_with_pools() -> None:
    """Experts and KV cache, as in the reference's recipes for MI355X; the router has nothing."""
    found = amended("sglang", *PD, flags={"--chunked-prefill-size": 16384})
    assert found is not None and {*found.flags} == {*PD}
    flags = {"--moe-a2a-backend": "mori", "--disaggregation-transfer-backend": "mori"}
    assert found.flags["prefill"] == found.flags["decode"] == flags
    for flag, value in flags.items():
        assert value in ENGINES["sglang"]["flags"][flag]
    assert found.environment["prefill"] == {
        "MORI_EP_LAUNCH_CONFIG_MODE": "AUTO",
        "TORCH_NCCL_BLOCKING_WAIT": "1",
        "SGLANG_MORI_NUM_MAX_DISPATCH_TOKENS_PER_RANK": "16384",
    }
    # Decode has no chunks of prefill.
    assert "SGLANG_MORI_NUM_MAX_DISPATCH_TOKENS_PER_RANK" not in found.environment["decode"]
    default = ENGINES["sglang"]["variables"]["SGLANG_MORI_NUM_MAX_DISPATCH_TOKENS_PER_RANK"]
    assert default == "EnvInt(4096)"
    assert found.devices == ("/dev/infiniband",)


@pytest.mark.parametrize("engine", ["vllm", "sglang", "atom"])
def test_every_name_is_one_that_its_reader_knows(engine: str) -> None:
    """With every option that the engine uses, in pools; and each has a reason."""
    unused = UNUSED.get(engine, ())
    found = amended(engine, *PD, **{k: v for k, v in ALL.items() if k not in unused})
    assert found is not None
    facts = ENGINES.get(engine, {"variables": (), "flags": ()})
    for role in PD:
        variables, flags = {*found.environment[role]}, {*found.flags.get(role, ())}
        assert variables <= MORI | {*facts["variables"]}
        assert flags <= {*facts["flags"]}
        assert variables | flags <= {*found.reasons}


def test_what_can_be_switched_off() -> None:
    """Experts, KV cache, tuned parameters, the wait."""
    off = {"tuned": False, "blocking_wait": False}
    found = amended("sglang", *PD, transfer=False, **off)
    assert found is not None and found.flags["prefill"] == {"--moe-a2a-backend": "mori"}
    assert not found.environment
    found = amended("sglang", *PD, experts=False, **off)
    assert found is not None
    assert found.flags["prefill"] == {"--disaggregation-transfer-backend": "mori"}


def test_atom_has_no_flag_for_it() -> None:
    """It uses MoRI where that is installed: variables only."""
    found = amended("atom")
    assert found is not None and not found.flags
    assert found.environment["server"] == {"MORI_EP_LAUNCH_CONFIG_MODE": "AUTO"}


def test_workers_that_another_engine_runs() -> None:
    """Those of vLLM, behind Dynamo's frontend."""
    found = amended("dynamo", *PD, owned={"dynamo": ("router",), "vllm": PD})
    assert found is not None and {*found.flags} == {*PD}


@pytest.mark.parametrize(
    ("engine", "given", "words"),
    [
        (
            "vllm",
            {"kind": "nvidia", "sku": "h200"},
            "AMD GPUs, but server runs on nvidia",
        ),
        ("trtllm", {"kind": "nvidia", "sku": "h200"}, "MoRI needs AMD GPUs"),
        ("vllm", {"sku": "mi455x"}, "gfx942, gfx950"),
        ("vllm", {"topology": Topology(tp=8, ep=8)}, "MoRI has nothing to send"),
        ("sglang", {"topology": Topology(tp=8)}, "MoRI has nothing to send"),
        ("llamacpp", {}, "does not spread experts"),
        ("trtllm", {}, "runs on NVIDIA GPUs"),
    ],
)
def test_what_does_not_go_together(engine: str, given: Any, words: str) -> None:
    """It is refused, with the reason."""
    with pytest.raises(UsageError, match=words) as refused:
        amended(engine, **given)
    assert refused.value.hint


@pytest.mark.parametrize(
    ("engine", "given", "words"),
    [
        ("vllm", {"dispatch_tokens": 4096}, "dispatch_tokens: MoRI takes it from SGLang only"),
        ("vllm", {"send_queue": 4}, "send_queue: MoRI transfers no KV cache here, so it would"),
        ("atom", {"mode": "low_latency"}, "mode: ATOM chooses MoRI's kernels itself"),
        (
            "sglang",
            {"topology": Topology(tp=8), "roles": PD, "heap_gib": 4},
            "heap_gib: MoRI sends no tokens to experts here",
        ),
    ],
)
def test_options_of_another_engine(engine: str, given: dict[str, Any], words: str) -> None:
    """Each is refused where it has no effect, and accepted where one role uses it."""
    roles = given.pop("roles", ())
    with pytest.raises(UsageError, match=words) as refused:
        amended(engine, *roles, **given)
    assert refused.value.hint == "leave it out"
    assert amended("sglang", *PD, dispatch_tokens=4096, send_queue=4, heap_gib=4, mode=None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"experts": False, "mode": "low_latency"}, "mode needs experts=true"),
        ({"experts": False, "heap_gib": 4}, "heap_gib needs experts=true"),
        ({"transfer": False, "send_queue": 4}, "send_queue needs transfer=true"),
    ],
)
def test_options_that_nothing_would_use(options: dict[str, Any], words: str) -> None:
    """Of what is switched off."""
    with pytest.raises(ValueError, match=words):
        MoriOptions(**options)
