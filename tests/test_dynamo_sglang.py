"""SGLang's workers under Dynamo: the two engines' plugins together, against the parser of Dynamo's
worker. Dynamo 1.6.1 pins SGLang 0.5.21, whose attention DP is written in the older form.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml

_PARSER = (
    Path(__file__).resolve().parent.parent
    / "plugins/engines/dynamo/tests/captured/flags-worker-sglang.json"
)
_OPTIONS = {"version": "0.5.21", "speculation": "mtp", "speculative_tokens": 2, "block_size": 64}


def _words(command: str) -> list[str]:
    """The arguments after the program of a worker."""
    words = shlex.split(command.replace("\\\n", " "))
    return words[words.index("dynamo.sglang") + 1 :]


def _suite(folder: Path, pools: list[dict[str, object]], prefix_caching: bool) -> Path:
    file = folder / "suite.yaml"
    suite = {
        "version": 1,
        "deployments": [
            {
                "engine": {"dynamo": {"worker": "sglang"}},
                "model": "deepseek-r1-0528",
                "weights": "fp8",
                "hardware": "h200:32",
                "pools": pools,
            }
        ],
        "workloads": [{"random": {"input_tokens": 1024, "output_tokens": 256}}],
        "load": {"concurrency": [64], "prefix_caching": prefix_caching},
    }
    file.write_text(yaml.safe_dump(suite))
    return file


@pytest.mark.parametrize("prefix_caching", [False, True])
def test_the_worker_takes_every_flag(cli, tmp_path: Path, prefix_caching: bool) -> None:
    """Prefill on one host and decode on two, with attention DP, experts spread and MTP."""
    wide = {"tp": 16, "attention_dp": 16, "ep": 16}
    engine = {"sglang": _OPTIONS}
    pools: list[dict[str, object]] = [
        {"role": "prefill", "topology": {"tp": 8}, "engine": engine},
        {"role": "decode", "topology": wide, "engine": engine},
    ]
    done = cli("plan", str(_suite(tmp_path, pools, prefix_caching)), "--commands")
    assert done.code == 0, done.err
    commands = [part for part in done.out.split("\n# ") if "dynamo.sglang" in part]
    assert len(commands) == 2
    known = {name for flag in json.loads(_PARSER.read_text())["flags"] for name in flag["names"]}
    for command in commands:
        flags = {word for word in _words(command) if word.startswith("--")}
        assert flags <= known, flags - known
        assert ("--kv-events-config" in flags) is (prefix_caching and "prefill" in command)
    decode = commands[1]
    assert "--dp-size 16" in decode and "--enable-dp-attention" in decode
    assert "--speculative-algorithm NEXTN" in decode
    plan = cli("plan", str(_suite(tmp_path, pools, prefix_caching)), "--json")
    assert '"mtp"' in plan.out


def test_engines_that_register_otherwise(cli, tmp_path: Path) -> None:
    """Of a replica of SGLang on several hosts, one host registers; of vLLM, each."""
    pools: list[dict[str, object]] = [
        {"role": "prefill", "topology": {"tp": 8}, "engine": {"vllm": {}}},
        {"role": "decode", "topology": {"dp": 16, "ep": 16}, "engine": {"vllm": {}}},
    ]
    done = cli("plan", str(_suite(tmp_path, pools, prefix_caching=False)))
    assert done.code == 2
    assert "registers with" in done.err and "dynamo:worker=vllm" in done.err
