"""What NIXL's settings change, against what the engines read (captured/engines.json)."""

from __future__ import annotations

from typing import Any

import pytest
from nixl_cases import ENGINES, PD, SGLANG, VLLM, amended
from tokenbench_amendment_nixl.options import NixlOptions

from tokenbench.api import FileSpec, FrozenMap, UsageError

UCX = {
    "transports": ("rc", "cuda_copy"),
    "devices": ("mlx5_0:1",),
    "gid_index": 1,
    "traffic_class": 96,
    "log_level": "INFO",
}


def test_ucx() -> None:
    """Variables of UCX for every pool, each with its reason; none for the router."""
    found = amended("sglang", *PD, flags=SGLANG, **UCX)
    assert found is not None and {*found.environment} == {*PD}
    assert found.environment["decode"] == {
        "UCX_TLS": "rc,cuda_copy",
        "UCX_NET_DEVICES": "mlx5_0:1",
        "UCX_IB_GID_INDEX": "1",
        "UCX_IB_TRAFFIC_CLASS": "96",
        "NIXL_LOG_LEVEL": "INFO",
    }
    assert {*found.reasons} == {*found.environment["decode"]}


def test_a_backend_plugin() -> None:
    """A key of vLLM's connector, a variable of SGLang: both as they read it."""
    vllm = amended("vllm", *PD, flags=VLLM, backend="LIBFABRIC")
    assert vllm is not None
    extra = vllm.flags["prefill"]["--kv-transfer-config"]["kv_connector_extra_config"]
    assert extra == {"backends": ("LIBFABRIC",)} and {*extra} <= {*ENGINES["vllm"]["nixl_extra"]}
    sglang = amended("sglang", *PD, flags=SGLANG, backend="LIBFABRIC")
    assert sglang is not None
    (variable,) = sglang.environment["prefill"]
    assert variable == "SGLANG_DISAGGREGATION_NIXL_BACKEND"
    assert ENGINES["sglang"]["variables"][variable] == "EnvStr('UCX')"
    assert "nixl" in ENGINES["sglang"]["flags"]["--disaggregation-transfer-backend"]
    # Read in TensorRT-LLM 02734d9, cpp/tensorrt_llm/common/envUtils.cpp.
    trtllm = amended("trtllm", *PD, backend="LIBFABRIC")
    assert trtllm is not None
    assert trtllm.environment["decode"] == {"TRTLLM_NIXL_KVCACHE_BACKEND": "LIBFABRIC"}


def test_the_side_channel_of_vllm() -> None:
    """Host and port of each server, unless the engine's plan has them."""
    found = amended("vllm", *PD, flags=VLLM)
    assert found is not None
    assert found.environment["prefill"] == {
        "VLLM_NIXL_SIDE_CHANNEL_HOST": "{host}",
        "VLLM_NIXL_SIDE_CHANNEL_PORT": "{port:nixl}",
    }
    assert {*found.environment["prefill"]} <= {*ENGINES["vllm"]["variables"]}
    assert found.ports == dict.fromkeys(PD, ("nixl",))
    own = {"VLLM_NIXL_SIDE_CHANNEL_HOST": "{host}", "VLLM_NIXL_SIDE_CHANNEL_PORT": "{port:nixl}"}
    assert amended("vllm", *PD, flags=VLLM, environment=own) is None


@pytest.mark.parametrize(
    ("sku", "options", "value"),
    [
        ("gb200", {}, "y"),
        ("gb300", {"rack_nvlink": False}, "n"),
        ("h200", {"rack_nvlink": True}, "y"),
    ],
)
def test_nvlink_between_hosts(sku: str, options: dict[str, Any], value: str) -> None:
    """By default where hosts of a rack share NVLink."""
    found = amended("trtllm", *PD, sku=sku, **options)
    assert found is not None
    assert found.environment["prefill"] == {"UCX_CUDA_IPC_ENABLE_MNNVL": value}


@pytest.mark.parametrize(("sku", "options"), [("h200", {}), ("gb200", {"backend": "LIBFABRIC"})])
def test_nothing_is_set_without_a_need(sku: str, options: dict[str, Any]) -> None:
    """NVLink between hosts is for racks, and for UCX."""
    found = amended("sglang", *PD, flags=SGLANG, sku=sku, **options)
    variables = {} if found is None else found.environment["prefill"]
    assert "UCX_CUDA_IPC_ENABLE_MNNVL" not in variables


def test_workers_that_another_engine_runs() -> None:
    """Dynamo's workers are those of vLLM."""
    owned = {"dynamo": ("router",), "vllm": PD}
    found = amended("dynamo", *PD, flags=VLLM, owned=owned, devices=("mlx5_0:1",))
    assert found is not None and {*found.environment} == {*PD}


@pytest.mark.parametrize(
    ("engine", "roles", "flags", "options", "words"),
    [
        ("vllm", ("server",), {}, {}, "has one pool"),
        ("vllm", PD, {}, {}, "goes through no connector"),
        (
            "vllm",
            PD,
            {"--kv-transfer-config": FrozenMap({"kv_connector": "MooncakeConnector"})},
            {},
            "goes through MooncakeConnector",
        ),
        ("sglang", PD, {}, {}, "goes through mooncake"),
        ("llamacpp", ("server",), {}, {}, "does not divide prefill and decode"),
        ("atom", PD, {}, {}, "MoRI-IO or Mooncake"),
    ],
)
def test_what_does_not_go_together(
    engine: str, roles: tuple[str, ...], flags: Any, options: Any, words: str
) -> None:
    """It is refused, with the reason."""
    with pytest.raises(UsageError, match=words) as refused:
        amended(engine, *roles, flags=flags, **options)
    assert refused.value.hint


def test_settings_of_ucx_need_ucx() -> None:
    """Another backend does not read them."""
    with pytest.raises(ValueError, match="transports needs UCX"):
        NixlOptions(backend="LIBFABRIC", transports=("rc",))


@pytest.mark.parametrize(("backend", "goes"), [("DEFAULT", True), ("NIXL", True), ("MPI", False)])
def test_what_the_options_file_of_tensorrt_llm_names(backend: str, goes: bool) -> None:
    """By default that is NIXL."""
    content = FrozenMap({"cache_transceiver_config": FrozenMap({"backend": backend})})
    files = (FileSpec(name="args.yaml", content=content),)
    if goes:
        assert amended("trtllm", *PD, files=files, **UCX)
        return
    with pytest.raises(UsageError, match="the KV cache of prefill goes through MPI, not NIXL"):
        amended("trtllm", *PD, files=files)
