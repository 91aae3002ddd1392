"""Real Mooncake, composed with engines by its amendment: what is put into its store, and read back.

``make real-mooncake`` installs it and ``make test-mooncake`` runs these tests. They need the
environment in MOONCAKE_VENV, and are skipped without; those with vLLM need it there as well (``make
real-mooncake WORKERS=vllm``). Clients of Mooncake listen on all addresses of a host, so each test
runs in a network namespace of its own.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from processes import marked

if TYPE_CHECKING:
    from tests_bench import Bench

pytestmark = [pytest.mark.real, pytest.mark.timeout(1500)]
_LIMIT_S = 1400.0
_NAMESPACE = ("unshare", "--net", "--map-root-user")
# A client of the store as Mooncake's own configuration makes it from the server's variables, and
# the master's counters before and after.
_CLIENT = """
import json, sys, urllib.request
from mooncake.mooncake_config import MooncakeConfig
from mooncake.store import MooncakeDistributedStore

def page():
    with urllib.request.urlopen(sys.argv[1]) as reply:
        return reply.read().decode()

before, c = page(), MooncakeConfig.load_from_env()
store = MooncakeDistributedStore()
code = store.setup(
    c.local_hostname, c.metadata_server, c.global_segment_size, c.local_buffer_size, c.protocol,
    c.device_name, c.master_server_address,
)
value = bytes(range(256)) * 4096
found = {"setup": code, "put": store.put("key", value), "same": store.get("key") == value}
print(json.dumps({**found, "before": before, "after": page(), "config": vars(c)}))
"""


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of a real Mooncake."""
    folder = os.environ.get("MOONCAKE_VENV")
    if not folder:
        pytest.skip("MOONCAKE_VENV names no environment: make real-mooncake, make test-mooncake")
    found = Path(folder).absolute() / "bin" / "python"
    assert found.exists(), f"no interpreter in MOONCAKE_VENV={folder}"
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
    """An interpreter with vLLM, too."""
    code = "import importlib.util as u, sys; sys.exit(u.find_spec('vllm') is None)"
    if subprocess.run([python, "-c", code], check=False).returncode:
        pytest.skip("no vLLM in MOONCAKE_VENV: make real-mooncake WORKERS=vllm")
    return python


def _options(python: Path, **more: Any) -> dict[str, Any]:
    return {"mooncake": {"python": str(python), "segment_gib": 0.25, "buffer_gib": 0.0625, **more}}


def _write(bench: Bench, **suite: Any) -> None:
    made = {"version": 1, "seed": 7, "reporters": ["files"], **suite}
    (bench.folder / "suite.yaml").write_text(yaml.safe_dump(made))


def _scripted(bench: Bench, python: Path, *, duration_s: float, **options: Any) -> None:
    """A suite with the scripted server, which passes its variables on to nobody."""
    _write(
        bench,
        use=[_options(python, **options)],
        deployments=[{"engine": "scripted", "hardware": "cpu"}],
        workloads=["random"],
        load={"concurrency": [1], "repeats": 1, "duration_s": duration_s},
    )


def _processes(bench: Bench, text: str) -> list[Path]:
    """Folders in /proc of the test's processes with this text in their command line."""
    found = []
    for pid, words in marked(bench.mark).items():
        command = " ".join(words)
        # Supervisors have the command that they run among their own arguments.
        if text in command and "supervisor" not in command and "agent" not in command:
            found.append(Path(f"/proc/{pid}"))
    return found


def _wait(bench: Bench, text: str, seconds: float = 60.0) -> Path:
    deadline = time.monotonic() + seconds
    while not (found := _processes(bench, text)):
        assert time.monotonic() < deadline, bench.left_running()
        time.sleep(0.2)
    return found[0]


def _flag(process: Path, name: str) -> str:
    argv = (process / "cmdline").read_bytes().split(b"\0")
    return argv[argv.index(name.encode()) + 1].decode()


def _inside(process: Path, *command: str, **variables: str) -> str:
    """Standard output of a command in the namespaces of a process."""
    done = subprocess.run(
        ["nsenter", "-t", process.name, "-U", "-n", "--preserve-credentials", *command],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def _counter(page: str, name: str) -> float:
    values = [line.split()[-1] for line in page.splitlines() if line.split()[:1] == [name]]
    return float(values[0]) if values else 0.0


def _grown(found: dict[str, Any], name: str) -> float:
    return _counter(found["after"], name) - _counter(found["before"], name)


@pytest.mark.parametrize("metadata", ["handshake", "http"])
def test_put_and_get(alone: Bench, python: Path, metadata: str) -> None:
    """The master runs before the server. A client with the server's variables puts and gets a
    megabyte, which the master's counters show, while bench measures. Nothing is left afterwards.
    """
    _scripted(alone, python, duration_s=20, metadata=metadata)
    process = alone.start("run", "suite.yaml", "--allow-invalid")
    try:
        server = _wait(alone, "tokenbench_testing.server")
        # It was ready before the server started.
        (master,) = _processes(alone, "mooncake_master")
        assert len(_processes(alone, "http_metadata_server")) == (metadata == "http")
        started = [float((p / "stat").read_text().split()[21]) for p in (master, server)]
        assert started[0] < started[1]
        variables = dict(
            one.decode().partition("=")[::2]
            for one in (server / "environ").read_bytes().split(b"\0")
            if one.startswith((b"MOONCAKE_", b"MC_"))
        )
        url = f"http://{_flag(master, '--metrics_host')}:{_flag(master, '--metrics_port')}/metrics"
        shown = _inside(server, str(python), "-c", _CLIENT, url, **variables)
        found = json.loads(shown.strip().splitlines()[-1])
    finally:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert (found["setup"], found["put"], found["same"]) == (0, 0, True)
    assert found["config"]["metadata_server"].startswith(
        "http://" if metadata == "http" else "P2PHANDSHAKE"
    )
    assert _grown(found, "master_put_end_requests_total") == 1
    assert _grown(found, "master_get_replica_list_requests_total") >= 1
    assert _grown(found, "master_value_size_bytes_sum") >= 1 << 20
    assert _grown(found, "master_total_capacity_bytes") == 1 << 28
    (log,) = alone.run_directory.glob("logs/*/mooncake-master-0.log")
    assert log.read_text()
    assert alone.all_gone(), out


@pytest.mark.parametrize("who", ["bench", "master"])
def test_killed(alone: Bench, python: Path, who: str) -> None:
    """bench killed: no process is left. The master killed: the run says so."""
    _scripted(alone, python, duration_s=60)
    process = alone.start("run", "suite.yaml", "--allow-invalid")
    server = _wait(alone, "tokenbench_testing.server")
    (master,) = _processes(alone, "mooncake_master")
    if who == "bench":
        process.kill()
        process.communicate(timeout=30)
    else:
        time.sleep(2)
        os.kill(int(master.name), signal.SIGKILL)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 5, (out, err)
        assert "mooncake-master" in err, err
    assert alone.all_gone(20), alone.left_running()
    assert not server.exists()


def test_an_engine_without_a_client(alone: Bench, python: Path) -> None:
    """llama.cpp is refused while planning, with the reason."""
    done = alone("plan", "--engine", "llamacpp", "--model", "smollm2", "--use", "mooncake")
    assert done.code == 2
    error, hint = done.complaint
    assert "llama.cpp keeps its KV cache in its slots" in error and "vllm" in hint


def _vllm_suite(bench: Bench, vllm: Path, *, use: bool = True) -> None:
    """vLLM with a KV cache of 16 blocks of 128 tokens, for twelve prefixes of four blocks each."""
    models = os.environ.get("MOONCAKE_MODELS", str(vllm.parent.parent / "models"))
    shared = {"groups": 12, "prefix_tokens": 512, "suffix_tokens": 16, "output_tokens": 4}
    _write(
        bench,
        **({"use": [_options(vllm)]} if use else {}),
        deployments=[
            {
                "engine": {
                    "vllm": {
                        "python": str(vllm),
                        "enforce_eager": True,
                        "load_format": "dummy",
                        "max_num_seqs": 2,
                    }
                },
                "model": {"hf": {"path": f"{models}/tiny-qwen3"}},
                "environment": {"TORCHDYNAMO_DISABLE": "1"},
                "flags": {"--num-gpu-blocks-override": 16},
            }
        ],
        workloads=[{"prefix": shared}],
        load={
            "concurrency": [1],
            "requests": 48,
            "repeats": 1,
            "prefix_caching": True,
        },
    )


def _counted(bench: Bench) -> dict[str, float]:
    """What vLLM counted during the repeat."""
    (file,) = bench.run_directory.glob("points/*/repeat-0/counters.json")
    counted = json.loads(file.read_text())
    before, after = counted["before"], counted["after"]
    return {k: v - (before[k] or 0.0) for k, v in after.items() if isinstance(v, float)}


@pytest.mark.proves("vllm", "mooncake-store")
def test_vllm_reads_its_kv_cache_from_the_store(alone: Bench, vllm: Path) -> None:
    """Prefixes that its own cache has no room for are read from the store; the master counts what
    is put and got, and that the store is emptied before the repeat.
    """
    _vllm_suite(alone, vllm)
    process = alone.start("run", "suite.yaml", "--allow-invalid")
    master = _wait(alone, "mooncake_master")
    url = f"http://{_flag(master, '--metrics_host')}:{_flag(master, '--metrics_port')}/metrics"
    code = f"import urllib.request as u; print(u.urlopen({url!r}).read().decode())"
    page = ""
    while process.poll() is None and master.exists():
        try:
            page = _inside(master, str(vllm), "-c", code)
        except (AssertionError, subprocess.TimeoutExpired):
            break
        # Often: the last page has to have what was read last.
        time.sleep(0.1)
    _, err = process.communicate(timeout=_LIMIT_S)
    assert process.returncode == 0, err
    server = _counted(alone)
    assert server["prompt_tokens"] == 48 * (512 + 16)
    # The first prompt of each prefix is computed, the others' prefix is in one of the caches.
    assert server["cached_prompt_tokens"] == 36 * 512
    assert 12 * 512 <= server["external_cached_prompt_tokens"] <= 36 * 512
    assert _counter(page, "master_batch_put_end_items_total") >= 12 * 4
    read = _counter(page, "master_batch_get_replica_list_items_total") * 128
    assert read >= server["external_cached_prompt_tokens"]
    # Emptied with vLLM's own cache, before the repeat.
    assert _counter(page, "master_remove_all_requests_total") >= 1


def test_vllm_without_the_store(alone: Bench, vllm: Path) -> None:
    """The same prompts find little in vLLM's own cache: the hits above are the store's."""
    _vllm_suite(alone, vllm, use=False)
    done = alone("run", "suite.yaml", "--allow-invalid", timeout_s=_LIMIT_S)
    assert done.code == 0, done.err
    server = _counted(alone)
    assert not server.get("external_cached_prompt_tokens")
    assert server["cached_prompt_tokens"] < 36 * 512 - 12 * 512
