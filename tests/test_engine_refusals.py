"""Plans that an engine cannot carry out, refused before anything is reserved; and what the plugin
of TensorRT-LLM gives to Dynamo's workers.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
_LOAD = """
workloads:
  - random: {input_tokens: 1024, output_tokens: 128}
load: {concurrency: [8]}
"""
_R1 = "model: deepseek-r1-0528, weights: fp8, hardware: mi355x:16"
_POOLS = "[{role: prefill, topology: {tp: 8}}, {role: decode, topology: {tp: 8}}]"


@pytest.mark.parametrize(
    ("deployment", "error"),
    [
        (
            f"{{engine: atom, {_R1}, topology: {{tp: 8, dp: 2, ep: 16, attention_dp: 16}}}}",
            (
                r"topology\.ep: the engine 'atom' does not spread experts over hosts: a server "
                r"starts all of its ranks on its own host \(0\.1\.5"
            ),
        ),
        (
            f"{{engine: atom, {_R1}, pools: {_POOLS}}}",
            r"pools\[0\]\.role: the engine 'atom' has no role 'prefill': its proxy .* \(0\.1\.5",
        ),
        (
            (
                "{engine: {atom: {speculation: mtp, speculative_tokens: 1}}, model: llama-3.3-70b, "
                "weights: fp8, hardware: mi355x:1}"
            ),
            "speculation=mtp: the facts of llama-3.3-70b name no MTP heads",
        ),
        (
            (
                "{engine: atom, model: deepseek-r1-0528, weights: nvfp4, hardware: mi355x:8, "
                "topology: {tp: 8}}"
            ),
            r"nvfp4.*it computes in FP8, MXFP4, INT8 and INT4 \(0\.1\.5",
        ),
        (
            (
                "{engine: trtllm, model: deepseek-r1-0528, weights: fp8, hardware: mi355x:8, "
                "topology: {tp: 8}}"
            ),
            "the engine 'trtllm' does not run on 'amd'",
        ),
        # PCIe without NVLink, and no network of it in the catalogue.
        (
            (
                "{engine: sglang, model: llama-3.3-70b, weights: fp8, hardware: rtx6000pro:16, "
                "topology: {tp: 16}}"
            ),
            (
                r"topology: tp16 needs 16 accelerators for one server, but a scale-up domain of "
                r"rtx6000pro has 8, and no scale-out network"
            ),
        ),
        (
            (
                "{engine: dynamo, model: deepseek-r1-0528, weights: nvfp4, hardware: gb200:148, "
                "pools: [{role: prefill, topology: {tp: 4}}, "
                "{role: decode, topology: {attention_dp: 144, ep: 144, dp: 144}}]}"
            ),
            (
                r"pools\[1\]\.topology: \S+ needs 144 accelerators for one server, but a scale-up "
                r"domain of gb200 has 72"
            ),
        ),
    ],
)
def test_what_an_engine_lacks_is_refused_with_the_reason(
    deployment: str, error: str, cli: Any, tmp_path: Path
) -> None:
    """With the place in the suite, the version of the engine and the source."""
    suite = tmp_path / "suite.yaml"
    suite.write_text(f"version: 1\ndeployments:\n  - {deployment}{_LOAD}", encoding="utf-8")
    done = cli("plan", str(suite))
    assert done.code == 2, done.out
    assert re.search(error, done.err), done.err
    assert "\nhint: " in done.err


def test_dynamo_s_workers_take_what_trtllm_s_plugin_gives(cli: Any) -> None:
    """Each flag is one of `dynamo.trtllm`, each key one of LlmArgs; nothing stands in both."""
    done = cli("plan", str(ROOT / "suites" / "dynamo-trtllm-gb200.yaml"), "--commands")
    assert done.code == 0, done.err
    captured = ROOT / "plugins/engines/dynamo/tests/captured/flags-trtllm.json"
    flags = json.loads(captured.read_text(encoding="utf-8"))["flags"]
    known = {name for flag in flags for name in (*flag["names"], *flag.get("negations", ()))}
    folder = ROOT / "plugins/engines/trtllm/src/tokenbench_engine_trtllm"
    keys = json.loads((folder / "surface.json").read_text(encoding="utf-8"))["llm_args"]
    parts = re.split(r"^# (?=\w)(?!writes)", done.out, flags=re.MULTILINE)
    workers = [part for part in parts if "-m dynamo.trtllm" in part]
    assert len(workers) == 2
    for command in workers:
        ours, _, file = command.partition("-m dynamo.trtllm")[2].partition("# writes ")
        found = set(re.findall(r"(?<=\s)--[a-z0-9-]+", ours))
        assert found <= known and len(found) >= 7, found - known
        settings = yaml.safe_load(re.sub(r"^#   ", "", file.partition("\n")[2], flags=re.MULTILINE))
        for key, value in settings.items():
            names = {f"{key}.{inner}" for inner in value} if isinstance(value, dict) else {key}
            assert names <= set(keys) or value is None, names
        spelled = {name.lstrip("-").replace("-", "_") for name in found}
        assert not spelled & set(settings)


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm", "dynamo"])
@pytest.mark.parametrize(
    ("deployment", "place"),
    [
        (
            "weights: fp8, hardware: h100:8, topology: {tp: 3}",
            r":3: deployments\[0\].topology.tp: tp=3",
        ),
        (
            "weights: fp8, hardware: h100:8, topology: {ep: 2}",
            r":3: deployments\[0\].topology.ep: ep=2",
        ),
        ("weights: bf16, hardware: h100:1", r":3: deployments\[0\].topology: .* does not fit"),
        (
            "weights: nvfp4, hardware: h100:8",
            r":3: deployments\[0\].weights: .* not compute in fp4",
        ),
        (
            (
                "weights: fp8, hardware: h100:8, pools: [{role: prefill, topology: {tp: 4}}, "
                "{role: decode, topology: {tp: 3}}]"
            ),
            r":3: deployments\[0\].pools\[1\].topology.tp: tp=3",
        ),
    ],
)
def test_an_error_of_an_engine_is_at_the_key_that_is_wrong(
    engine: str, deployment: str, place: str, cli: Any, tmp_path: Path
) -> None:
    """Not at the engine, which can do it with other values."""
    suite = tmp_path / "suite.yaml"
    text = f"{{engine: {engine}, model: llama-3.3-70b, {deployment}}}"
    suite.write_text(f"version: 1\ndeployments:\n  - {text}{_LOAD}", encoding="utf-8")
    done = cli("plan", str(suite))
    assert done.code == 2, done.out
    assert re.search(place, done.err), done.err


def test_an_error_of_an_engine_is_at_the_flag_that_is_wrong(cli: Any) -> None:
    """A topology of the command line."""
    words = "--engine vllm --model llama-3.3-70b --weights fp8 --hardware h100:8 --workload random"
    done = cli("plan", *words.split(), "--tp", "3")
    assert done.code == 2 and done.err.startswith("error: --tp: tp=3: "), done.err
