"""VLLM on TPUs and Trainium: planned, and unproven."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tokenbench.api import package_json

_LLAMA = {"model": "llama-3.3-70b", "weights": "bf16"}
_R1 = {"model": "deepseek-r1-0528", "weights": "fp8"}
_APART = [{"role": "prefill", "topology": {"tp": 4}}, {"role": "decode", "topology": {"tp": 4}}]
_WIDE = {"tp": 4, "attention_dp": 4, "ep": 4}
Plan = Callable[..., Any]


@pytest.fixture
def plan(cli: Any, tmp_path: Path) -> Plan:
    """`bench plan --commands` for vLLM on this hardware."""

    def run(hardware: str, *, load: dict[str, Any] | None = None, **deployment: Any) -> Any:
        options = deployment.pop("options", {})
        suite = {
            "version": 1,
            "deployments": [{"engine": {"vllm": options}, "hardware": hardware, **deployment}],
            "workloads": [{"random": {"input_tokens": 1920, "output_tokens": 64}}],
            "load": {"concurrency": [4], **(load or {})},
        }
        file = tmp_path / "suite.yaml"
        file.write_text(yaml.safe_dump(suite), encoding="utf-8")
        return cli("plan", str(file), "--commands")

    return run


def _command(done: Any) -> tuple[dict[str, str], dict[str, str]]:
    """Flags and variables of the one process."""
    assert done.code == 0, done.err
    words = shlex.split(done.out.partition("\n")[2].replace("\\\n", " "))
    program = next(number for number, word in enumerate(words) if word.endswith("python"))
    rest = words[program:]
    flags = {
        word: "" if following.startswith("--") else following
        for word, following in zip(rest, [*rest[1:], "--"], strict=True)
        if word.startswith("--")
    }
    return flags, dict(word.split("=", 1) for word in words[:program])


@pytest.mark.parametrize(
    ("chip", "tp", "flag"),
    [("tpuv7", 4, 8), ("tpuv6e", 8, 8), ("trn1", 16, 32), ("trn2", 16, 64)],
)
def test_tensor_parallelism_counts_what_the_build_calls_a_device(
    chip: str, tp: int, flag: int, plan: Plan
) -> None:
    """A topology counts chips, and so do the accelerators of the process."""
    done = plan(f"{chip}:{tp}", topology={"tp": tp}, **_LLAMA)
    assert _command(done)[0]["--tensor-parallel-size"] == str(flag)
    assert f"{tp} accelerators" in done.out


def test_attention_dp_on_a_tpu(plan: Plan) -> None:
    """A layout of one tensor-parallel group, which latent attention needs."""
    flags, variables = _command(plan("tpuv7:4", topology=_WIDE, **_R1))
    strategy = {"enable_dp_attention": True, "attn_dp_size": 8}
    assert json.loads(flags["--additional-config"]) == {"sharding": {"sharding_strategy": strategy}}
    assert flags["--tensor-parallel-size"] == "8"
    assert "--enable-expert-parallel" in flags
    assert not [flag for flag in flags if flag.startswith("--data-parallel")]
    assert variables["NEW_MODEL_DESIGN"] == "1"


@pytest.mark.parametrize(("tp", "bounds"), [(1, "1,1,1"), (2, "1,2,1"), (4, None)])
def test_part_of_a_tpu_host(tp: int, bounds: str | None, plan: Plan) -> None:
    """Libtpu has to be told the shape, where it is known."""
    done = plan(f"tpuv7:{tp}", topology={"tp": tp}, model="gpt-oss-20b", weights="mxfp4")
    _, variables = _command(done)
    assert variables.get("TPU_CHIPS_PER_PROCESS_BOUNDS") == bounds
    assert "NEW_MODEL_DESIGN" not in variables


def test_blocks_on_trainium(plan: Plan) -> None:
    """Their number is always set; with prefix caching, they have a size."""
    plain, _ = _command(plan("trn2:4", topology={"tp": 4}, options={"block_size": 32}, **_LLAMA))
    assert plain["--num-gpu-blocks-override"] == "4"
    assert "--block-size" not in plain and "--additional-config" not in plain
    reused, _ = _command(
        plan(
            "trn2:4",
            topology={"tp": 4},
            options={"block_size": 32, "context_tokens": 2048},
            load={"prefix_caching": True},
            **_LLAMA,
        )
    )
    assert reused["--num-gpu-blocks-override"] == str(64 * 4)
    config = json.loads(reused["--additional-config"])
    assert config["override_neuron_config"]["pa_num_blocks"] == 256


@pytest.mark.parametrize(
    ("hardware", "deployment", "says"),
    [
        ("trn3:4", {"topology": {"tp": 4}}, "does not name trn3"),
        ("trn2:4", {"topology": {"tp": 2, "pp": 2}}, "does not support pp=2"),
        ("trn2:2", {"topology": {"dp": 2}}, "does not support dp=2"),
        ("trn2:4", {"topology": _WIDE, **_R1}, "does not support attention_dp=4"),
        (
            "trn2:4",
            {"topology": {"tp": 4}, "load": {"prefix_caching": True}},
            "explicit block",
        ),
        (
            "trn2:4",
            {
                "topology": {"tp": 4},
                "load": {"prefix_caching": True},
                "options": {"block_size": 32, "max_num_seqs": 1},
            },
            "wrong answers in batches of one",
        ),
        ("tpuv7:8", {"pools": _APART}, "has no role 'prefill'"),
        (
            "tpuv7:4",
            {"topology": {"tp": 4}, "options": {"kv_offload": "native", "kv_offload_gib": 1}},
            "does not support --kv-offloading-backend",
        ),
        (
            "tpuv7:4",
            {"topology": {"tp": 4}, "options": {"cudagraph_mode": "full"}},
            "does not support --compilation-config",
        ),
        (
            "tpuv7:4",
            {"topology": _WIDE, "options": {"eplb": True}, **_R1},
            "does not support --enable-eplb",
        ),
        (
            "tpuv7:4",
            {
                "topology": {"tp": 4},
                "options": {
                    "speculation": "draft",
                    "speculative_tokens": 2,
                    "speculative_model": "./draft",
                },
            },
            "does not support speculation=draft",
        ),
    ],
)
def test_refused(hardware: str, deployment: dict[str, Any], says: str, plan: Plan) -> None:
    """What a build lacks, with its version and the date."""
    done = plan(hardware, **{**_LLAMA, **deployment})
    assert done.code == 2, done.out
    assert says in done.err
    assert "read 2026-12-01" in done.err
    assert "\nhint: " in done.err


def test_vllm_takes_the_flags(plan: Plan) -> None:
    """They are vLLM's own; `--additional-config` is where plugins have theirs."""
    captured = package_json("tokenbench_engine_vllm")["flags"]
    known = {name for flag in captured for name in (*flag["names"], *flag.get("negations", ()))}
    for done in (
        plan("tpuv7:4", topology=_WIDE, **_R1),
        plan(
            "trn2:4",
            topology={"tp": 4},
            options={"block_size": 32},
            load={"prefix_caching": True},
            **_LLAMA,
        ),
    ):
        assert set(_command(done)[0]) <= known
