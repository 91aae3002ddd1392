"""Amendments in plans: what `bench plan --explain` shows, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from tests_bench import Done

CLI = Callable[..., Done]
_MODEL = ("--model", "llama-3.3-70b", "--weights", "fp8")
_EXPERTS = ("--model", "deepseek-r1-0528", "--weights", "fp8")
_VLLM = ("--engine", "vllm")
_LOAD = ("--workload", "random:input_tokens=1024,output_tokens=128", "--concurrency", "4")
_AITER = "VLLM_ROCM_USE_AITER"


def _explained(cli: CLI, *args: str) -> list[str]:
    done = cli("plan", *args, *_LOAD, "--explain")
    assert done.code == 0, done.err
    return done.out.splitlines()


def _line(lines: list[str], *words: str) -> str:
    """The only line with all of these words."""
    (found,) = (line for line in lines if all(word in line for word in words))
    return found


def test_what_vllm_needs_on_amd_gpus(cli: CLI) -> None:
    """AITER, with its reason and source."""
    lines = _explained(cli, *_VLLM, *_MODEL, "--hardware", "mi300x:4", "--tp", "4")
    line = _line(lines, "variable", _AITER)
    assert f"{_AITER} = '1'  [amendment: " in line
    assert "which vLLM 0.32 leaves off" in line and "843c625" in line


def test_it_can_be_switched_off(cli: CLI) -> None:
    """By an option of the amendment."""
    asked = ("--hardware", "mi300x:4", "--tp", "4", "--use", "amd:aiter=false")
    assert not [line for line in _explained(cli, *_VLLM, *_MODEL, *asked) if _AITER in line]


def test_other_hardware_is_left_alone(cli: CLI) -> None:
    """Neither the CPU nor NVIDIA's GPUs get AMD's variables."""
    asked = ("--hardware", "h200:4", "--tp", "4", "--use", "amd")
    assert not [line for line in _explained(cli, *_VLLM, *_MODEL, *asked) if "AITER" in line]


def _suite(tmp_path: Path, **deployment: object) -> str:
    suite = {
        "version": 1,
        "deployments": [
            {
                "engine": "vllm",
                "model": "llama-3.3-70b",
                "weights": "fp8",
                "hardware": "mi300x:4",
                "topology": {"tp": 4},
                **deployment,
            }
        ],
        "workloads": ["random"],
        "load": {"concurrency": [1], "prefix_caching": True},
    }
    file = tmp_path / "suite.yaml"
    file.write_text(yaml.safe_dump(suite))
    return str(file)


def test_the_suite_overrides_it(cli: CLI, tmp_path: Path) -> None:
    """And the explanation names what was replaced."""
    done = cli("plan", _suite(tmp_path, environment={_AITER: "0"}), "--explain")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    at = lines.index(_line(lines, f"{_AITER} = '0'", "[suite: suite]"))
    assert "replaced '1' (amendment: " in lines[at + 1]


def test_the_mooncake_store_beside_vllm(cli: CLI, tmp_path: Path) -> None:
    """Its master is a process of the plan; each setting has its own reason."""
    done = cli("plan", _suite(tmp_path), "--use", "mooncake:segment_gib=64", "--explain")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert _line(lines, "mooncake-master: ", "-m mooncake.cli")
    assert "of its servers" not in _line(lines, "--kv-transfer-config.kv_connector ")
    reason = _line(lines, "variable MOONCAKE_CONFIG_PATH")
    assert "from this file only" in reason and "mooncake_store.py" in reason
    assert "68719476736" in _line(lines, "mooncake.json:global_segment_size")
    done = cli("plan", _suite(tmp_path), "--use", "mooncake", "--commands")
    assert done.code == 0 and "--rpc_port" in done.out, done.err


def test_experts_by_mori(cli: CLI) -> None:
    """On MI355X, with its reason."""
    asked = ("--hardware", "mi355x:8", "--dp", "8", "--ep", "8", "--use", "mori")
    lines = _explained(cli, *_VLLM, *_EXPERTS, *asked)
    assert "gathers all tokens" in _line(lines, "--all2all-backend = 'mori_high_throughput'")
    assert "MORI-EP-GUIDE" in _line(lines, "MORI_EP_LAUNCH_CONFIG_MODE = 'AUTO'")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (
            (*_EXPERTS, "--hardware", "h200:8", "--dp", "8", "--ep", "8", "--use", "mori"),
            "MoRI needs AMD GPUs",
        ),
        (
            (*_MODEL, "--hardware", "mi300x:4", "--tp", "4", "--use", "mori"),
            "nothing to send",
        ),
        ((*_MODEL, "--hardware", "h200:4", "--tp", "4", "--use", "nixl"), "has one pool"),
        ((*_MODEL, "--hardware", "h200:4", "--tp", "4", "--use", "mooncake"), "is a prefix cache"),
    ],
)
def test_what_cannot_work_is_refused(cli: CLI, args: tuple[str, ...], words: str) -> None:
    """In two lines, with exit code 2."""
    done = cli("plan", *_VLLM, *args, *_LOAD)
    assert done.code == 2
    error, _ = done.complaint
    assert words in error


def test_settings_of_ucx_between_pools(cli: CLI) -> None:
    """A suite in the repository, with prefill and decode on vLLM."""
    suite = Path(__file__).resolve().parent.parent / "suites" / "vllm-pd.yaml"
    done = cli("plan", str(suite), "--use", "nixl:devices=mlx5_0:1", "--explain")
    assert done.code == 0, done.err
    found = [line for line in done.out.splitlines() if "UCX_NET_DEVICES = 'mlx5_0:1'" in line]
    assert len(found) == 2 and all("DOCA" in line for line in found)
