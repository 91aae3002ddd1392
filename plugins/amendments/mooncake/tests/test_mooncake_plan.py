"""What the store changes, against what the engines and Mooncake read (captured/engines.json)."""

from __future__ import annotations

from typing import Any

import pytest
from mooncake_cases import ENGINES, amended, without_processes
from tokenbench_amendment_mooncake.options import MooncakeOptions
from tokenbench_amendment_mooncake.transfer import transfer

from tokenbench.api import FileSpec, FrozenMap, ProcessSpec, UsageError

MASTER = "{mooncake-master.0.host}:{mooncake-master.0.port:rpc}"
ALL = {
    "protocol": "rdma",
    "devices": ("mlx5_0", "mlx5_1"),
    "segment_gib": 8,
    "buffer_gib": 0.5,
    "metadata": "http",
}


def test_vllm() -> None:
    """The connector, the file it reads, and the master before the server."""
    found = amended("vllm", buffer_gib=0.5)
    assert found is not None
    config = found.flags["server"]["--kv-transfer-config"]
    assert config == {"kv_connector": "MooncakeStoreConnector", "kv_role": "kv_both"}
    assert config["kv_connector"] in ENGINES["vllm"]["connectors"]
    (file,) = found.files["server"]
    assert file.content == {
        "metadata_server": "P2PHANDSHAKE",
        "master_server_address": MASTER,
        "protocol": "tcp",
        "device_name": "",
        "global_segment_size": 4 << 30,
        "local_buffer_size": 1 << 29,
    }
    variables = found.environment["server"]
    assert variables["MOONCAKE_CONFIG_PATH"] == "{file:mooncake.json}"
    assert variables["MOONCAKE_REQUESTER_LOCAL_HOSTNAME"] == "{host}"
    assert found.after == {"server": ("mooncake-master",)}
    (master,) = found.processes
    assert master.argv == ("/env/bin/python", "-m", "mooncake.cli")
    assert master.ready == "http://{host}:{port:metrics}/health"


def test_sglang() -> None:
    """HiCache in front of the store."""
    found = amended("sglang", prefetch_policy="wait_complete")
    assert found is not None
    flags = found.flags["server"]
    assert flags["--enable-hierarchical-cache"] is True
    assert flags["--hicache-storage-backend-extra-config"]["master_server_address"] == MASTER
    for flag in ("--hicache-storage-backend", "--hicache-storage-prefetch-policy"):
        assert flags[flag] in ENGINES["sglang"]["flags"][flag]
    assert found.environment["server"] == {"MOONCAKE_LOCAL_HOSTNAME": "{host}"}
    # The engine's own option may have chosen it: the store's addresses are still missing then.
    assert amended("sglang", flags={"--hicache-storage-backend": "mooncake"}) is not None


@pytest.mark.parametrize("options", [{}, ALL], ids=["default", "all"])
@pytest.mark.parametrize("engine", ["vllm", "sglang", "third"])
def test_every_name_is_one_that_its_reader_knows(engine: str, options: dict[str, Any]) -> None:
    """Flags, variables, keys of the file and of the JSON flag, the master's and the service's."""
    if engine == "sglang":
        options = {key: value for key, value in options.items() if key != "buffer_gib"}
    found = amended(engine, **options)
    assert found is not None
    facts, mooncake = ENGINES.get(engine, {}), ENGINES["mooncake"]
    variables = {"MOONCAKE_CONFIG_PATH", "MC_TCP_BIND_ADDRESS", *facts.get("variables", ())}
    assert {*found.environment["server"]} <= variables | {*mooncake["client"]}
    assert {*found.flags.get("server", ())} <= {*facts.get("flags", ())}
    for file in found.files.get("server", ()):
        assert {*file.content} <= {*facts["store_file"]}
    extra = found.flags.get("server", FrozenMap()).get("--hicache-storage-backend-extra-config", {})
    assert {*extra} <= {*facts.get("store_extra", ())}
    for process in found.processes:
        names = {flag.lstrip("-") for flag in process.flags}
        known = mooncake["master" if process.role == "mooncake-master" else "metadata"]
        assert names <= {name.lstrip("-") for name in known}


def test_a_metadata_service_is_a_process_of_its_own() -> None:
    """It starts before the servers, too, and clients are told where it is."""
    found = amended("third", metadata="http")
    assert found is not None
    assert [process.role for process in found.processes] == ["mooncake-master", "mooncake-metadata"]
    assert found.after["server"] == ("mooncake-master", "mooncake-metadata")
    url = found.environment["server"]["MOONCAKE_TE_META_DATA_SERVER"]
    assert url == "http://{mooncake-metadata.0.host}:{mooncake-metadata.0.port:http}/metadata"
    assert found.environment["server"]["MC_TCP_BIND_ADDRESS"] == "{host}"


def test_rdma() -> None:
    """Adapters, and the device nodes of a container."""
    found = amended("vllm", protocol="rdma", devices=("mlx5_0", "mlx5_1"))
    assert found is not None
    (file,) = found.files["server"]
    assert (file.content["protocol"], file.content["device_name"]) == ("rdma", "mlx5_0,mlx5_1")
    assert found.devices == ("/dev/infiniband",)
    with pytest.raises(ValueError, match="devices needs protocol=rdma"):
        MooncakeOptions(devices=("mlx5_0",))


@pytest.mark.parametrize(
    ("backend", "goes"), [("DEFAULT", True), ("MOONCAKE", True), ("UCX", False)]
)
def test_what_the_options_file_of_tensorrt_llm_names(backend: str, goes: bool) -> None:
    """It wins over the variable."""
    content = FrozenMap({"cache_transceiver_config": FrozenMap({"backend": backend})})
    server = ProcessSpec(
        role="prefill", argv=("serve",), files=(FileSpec(name="args.yaml", content=content),)
    )
    if goes:
        assert transfer("trtllm", [server], MooncakeOptions())
        return
    with pytest.raises(UsageError, match="the KV cache of prefill goes through UCX"):
        transfer("trtllm", [server], MooncakeOptions())


def test_an_engine_that_is_not_known_gets_the_store_and_its_variables() -> None:
    """Its server may read them, as Mooncake's own client does; no flag is guessed."""
    found = amended("third", prefix_caching=False, argv=("serve",))
    assert found is not None and not found.flags
    assert found.environment["server"]["MOONCAKE_MASTER"] == MASTER


def test_workers_that_another_engine_runs() -> None:
    """The workers of Dynamo are vLLM's: they get its flags, the frontend nothing."""
    found = amended("dynamo", owned={"dynamo": ("frontend",), "vllm": ("server",)})
    assert found is not None
    assert {*found.flags} == {"server"} and "--kv-transfer-config" in found.flags["server"]


def test_mooncake_between_prefill_and_decode() -> None:
    """No store; the protocol and the adapters, where each engine reads them; not the router."""
    connector = FrozenMap({"kv_connector": "MooncakeConnector", "kv_role": "kv_producer"})
    vllm = amended(
        *("vllm", "prefill", "decode"),
        flags={"--kv-transfer-config": connector},
        protocol="rdma",
        devices=("mlx5_0",),
    )
    assert vllm is not None and not vllm.processes and {*vllm.flags} == {"prefill", "decode"}
    extra = vllm.flags["prefill"]["--kv-transfer-config"]["kv_connector_extra_config"]
    assert extra == {"mooncake_protocol": "rdma", "device_name": "mlx5_0"}
    assert {*extra} <= {*ENGINES["vllm"]["mooncake_extra"]}
    sglang = amended(
        *("sglang", "prefill", "decode"),
        flags={"--disaggregation-transfer-backend": "mooncake"},
    )
    assert sglang is not None and not sglang.processes
    assert sglang.environment["decode"] == {"MC_FORCE_TCP": "1", "MOONCAKE_PROTOCOL": "tcp"}
    trtllm = amended("trtllm", "prefill", "decode")
    assert trtllm is not None
    variables = {"MC_FORCE_TCP": "1", "TRTLLM_USE_MOONCAKE_KVCACHE": "1"}
    assert trtllm.environment["prefill"] == variables
    atom = amended(
        *("atom", "prefill", "decode"),
        flags={"--kv-transfer-config": FrozenMap({"kv_connector": "mooncake"})},
        protocol="rdma",
        devices=("rdma0",),
    )
    assert atom is not None
    assert atom.environment["decode"] == {"ATOM_MOONCAKE_IB_DEVICE": "rdma0"}


@pytest.mark.parametrize(
    ("engine", "roles", "options", "words"),
    [
        ("vllm", (), {"prefetch_policy": "timeout"}, "prefetch_policy: Mooncake's store has"),
        ("third", (), {"prefetch_policy": "timeout"}, "prefetch_policy: Mooncake's store has"),
        ("sglang", (), {"buffer_gib": 1}, "buffer_gib: SGLang has no setting for"),
        ("sglang", ("prefill", "decode"), {"segment_gib": 1}, "segment_gib: .* without a store"),
        ("trtllm", ("prefill", "decode"), {"metadata": "http"}, "metadata: .* without a store"),
        (
            "trtllm",
            ("prefill", "decode"),
            {"protocol": "rdma", "devices": ("mlx5_0",)},
            "devices: TensorRT-LLM chooses",
        ),
    ],
)
def test_options_of_another_engine_or_of_the_store(
    engine: str, roles: tuple[str, ...], options: dict[str, Any], words: str
) -> None:
    """Each is refused where it has no effect."""
    with pytest.raises(UsageError, match=words) as refused:
        amended(engine, *roles, **options)
    assert refused.value.hint == "leave it out"


@pytest.mark.parametrize(
    ("engine", "roles", "flags", "words"),
    [
        ("llamacpp", (), {}, "llama.cpp keeps its KV cache in its slots"),
        ("transformers", (), {}, "keeps no KV cache between requests"),
        ("trtllm", (), {}, "no known setting"),
        ("atom", (), {}, "from prefill to decode only"),
        ("vllm", (), {"--kv-offloading-backend": "native"}, "KV cache elsewhere"),
        ("sglang", (), {"--hicache-storage-backend": "file"}, "KV cache elsewhere"),
        ("sglang", (), {"--enable-lmcache": True}, "KV cache elsewhere"),
        ("vllm", ("prefill", "decode"), {}, "goes through no connector"),
        (
            "vllm",
            ("prefill", "decode"),
            {"--kv-transfer-config": FrozenMap({"kv_connector": "NixlConnector"})},
            "goes through NixlConnector",
        ),
        (
            "sglang",
            ("prefill", "decode"),
            {"--disaggregation-transfer-backend": "nixl"},
            "goes through nixl",
        ),
    ],
)
def test_what_does_not_go_together(
    engine: str, roles: tuple[str, ...], flags: dict[str, Any], words: str
) -> None:
    """It is refused, with the reason."""
    with pytest.raises(UsageError, match=words) as refused:
        amended(engine, *roles, flags=flags)
    assert refused.value.hint


def test_a_suite_without_prefix_cache() -> None:
    """The store would answer prompts that the suite wants computed."""
    with pytest.raises(UsageError, match="does not enable prefix caching"):
        amended("vllm", prefix_caching=False)


def test_pools_of_two_engines() -> None:
    """Their KV caches differ."""
    owned = {"vllm": ("prefill",), "sglang": ("decode",)}
    with pytest.raises(UsageError, match="different engines"):
        amended("dynamo", "prefill", "decode", owned=owned)


def test_a_server_that_is_already_running() -> None:
    """There is nothing to amend."""
    assert without_processes("vllm") is None
