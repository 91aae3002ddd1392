"""Peers: other benchmark clients, each in its own environment, none a dependency of ours.

Their requests have no numbers, so their reported means and percentiles are compared with those of
the server. Their options: AIPerf 0.13.0 and GuideLLM 0.8 from their ``--help``, vLLM 0.32 from its
documentation, 2026-11-21.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from accuracy import select, server_metrics, token_indices
from reference import Load, Placement, Reference, serving
from sample import Sample, cpu_ns

from tokenbench.calibrate.ground_truth import Truth

_SAMPLE_S = 0.2
_LIMIT_S = 120

# All peers need a tokenizer, even though the server counts tokens, and would download one. This one
# has the 256 byte letters and no merges; the libraries in the peer's environment create it.
_MAKE_TOKENIZER = """
import sys
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
vocab = {c: i for i, c in enumerate([*alphabet, "<|end|>"])}
tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|end|>")
fast.save_pretrained(sys.argv[1])
"""


@attrs.frozen(kw_only=True)
class Peer:
    """Another benchmark client: its command line and its results.

    `read` returns the results in ms, with the names of accuracy.server_metrics.
    """

    name: str
    program: str
    command: Callable[[str, Load, Path, Path], list[str]]
    read: Callable[[Path], dict[str, float]]
    offline: bool = True


def _aiperf(url: str, load: Load, folder: Path, tokenizer: Path) -> list[str]:
    options = {
        "-m": "truth",
        "-u": url,
        "--endpoint-type": "completions",
        "--tokenizer": tokenizer,
        "--concurrency": load.concurrency,
        "--request-count": load.requests,
        "--isl": load.words,
        "--isl-stddev": 0,
        "--osl": load.tokens,
        "--osl-stddev": 0,
        "--extra-inputs": "ignore_eos:true",
        "--ui": "none",
        "--output-artifact-dir": folder / "aiperf",
    }
    switches = ["--streaming", "--use-legacy-max-tokens", "--use-server-token-count"]
    return ["profile", *switches, "--no-server-metrics", "--no-gpu-telemetry", *_flat(options)]


def _read_aiperf(folder: Path) -> dict[str, float]:
    reported = json.loads((folder / "aiperf" / "profile_export_aiperf.json").read_text())
    names = {
        "ttft": "time_to_first_token",
        "tpot": "inter_token_latency",
        "itl": "inter_chunk_latency",
        "e2e": "request_latency",
    }
    found = {"requests": float(reported["request_count"]["avg"])}
    for ours, theirs in names.items():
        found[f"{ours}_mean_ms"] = reported[theirs]["avg"]
        found[f"{ours}_p99_ms"] = reported[theirs]["p99"]
    return found


def _guidellm(url: str, load: Load, folder: Path, tokenizer: Path) -> list[str]:
    options = {
        "--backend": f"kind=openai_http,target={url},model=truth,request_format=/v1/completions",
        "--profile": f"kind=concurrent,streams={load.concurrency}",
        "--constraint": f"kind=max_requests,count={load.requests}",
        "--tokenizer": f"kind=hf_auto,model={tokenizer}",
        "--data": f"kind=synthetic_text,prompt_tokens={load.words},output_tokens={load.tokens}",
        "--output": f"kind=json,path={folder / 'guidellm.json'}",
    }
    return ["run", "--disable-console", *_flat(options)]


def _read_guidellm(folder: Path) -> dict[str, float]:
    metrics = json.loads((folder / "guidellm.json").read_text())["benchmarks"][0]["metrics"]
    names = {
        "ttft": ("time_to_first_token_ms", 1.0),
        "tpot": ("inter_token_latency_ms", 1.0),
        "e2e": ("request_latency", 1000.0),
    }
    found = {"requests": float(metrics["request_totals"]["successful"])}
    for ours, (theirs, factor) in names.items():
        good = metrics[theirs]["successful"]
        found[f"{ours}_mean_ms"] = good["mean"] * factor
        found[f"{ours}_p99_ms"] = good["percentiles"]["p99"] * factor
    return found


def _vllm(url: str, load: Load, folder: Path, tokenizer: Path) -> list[str]:
    options = {
        "--backend": "openai",
        "--base-url": url,
        "--model": "truth",
        "--tokenizer": tokenizer,
        "--dataset-name": "random",
        "--random-input-len": load.words,
        "--random-output-len": load.tokens,
        "--num-prompts": load.requests,
        "--max-concurrency": load.concurrency,
        "--percentile-metrics": "ttft,tpot,itl,e2el",
        "--result-dir": folder,
        "--result-filename": "vllm.json",
    }
    return ["bench", "serve", "--ignore-eos", "--save-result", "--disable-tqdm", *_flat(options)]


def _read_vllm(folder: Path) -> dict[str, float]:
    reported = json.loads((folder / "vllm.json").read_text())
    found = {"requests": float(reported["completed"])}
    for ours, theirs in {"ttft": "ttft", "tpot": "tpot", "itl": "itl", "e2e": "e2el"}.items():
        found[f"{ours}_mean_ms"] = reported[f"mean_{theirs}_ms"]
        found[f"{ours}_p99_ms"] = reported[f"p99_{theirs}_ms"]
    return found


def _flat(options: dict[str, Any]) -> list[str]:
    return [str(part) for pair in options.items() for part in pair]


PEERS = {
    # Offline, AIPerf 0.13.0 refuses a tokenizer folder: it takes it for a repository name.
    "aiperf": Peer(
        name="aiperf", program="aiperf", command=_aiperf, read=_read_aiperf, offline=False
    ),
    "guidellm": Peer(name="guidellm", program="guidellm", command=_guidellm, read=_read_guidellm),
    "vllm": Peer(name="vllm", program="vllm", command=_vllm, read=_read_vllm),
}


def installed(given: dict[str, str]) -> dict[str, Path]:
    """Programs by peer: those that were given, and those on the path."""
    found = {name: given.get(name) or shutil.which(peer.program) for name, peer in PEERS.items()}
    return {name: Path(program).absolute() for name, program in found.items() if program}


def make_tokenizer(program: Path, folder: Path) -> None:
    """Create a tokenizer folder with the Python of a peer's environment.

    Raises:
        subprocess.CalledProcessError: the environment has no `transformers`.
    """
    python = program.parent / "python"
    command = [str(python), "-c", _MAKE_TOKENIZER, str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=_LIMIT_S)


def run(
    name: str, program: Path, reference: Reference, load: Load, placement: Placement, folder: Path
) -> Sample:
    """Run a peer once. Its CPU time is that between the server's first arrival and last send.

    A peer never has real-time priority: it has several processes on one core, and those that wait
    actively would keep the others from running.
    """
    peer = PEERS[name]
    tokenizer = folder / "tokenizer"
    make_tokenizer(program, tokenizer)
    env = os.environ | {"DO_NOT_TRACK": "1", "VLLM_NO_USAGE_STATS": "1"}
    env |= {"HF_HUB_OFFLINE": "1"} if peer.offline else {}
    log = folder / f"{name}.log"
    with serving(reference, load, folder / "truth.bin") as (port, truth), log.open("wb") as out:
        command = peer.command(f"http://127.0.0.1:{port}", load, folder, tokenizer)
        begun_ns = time.monotonic_ns()
        process = subprocess.Popen(
            [str(program), *command],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=attrs.evolve(placement, realtime=False).apply,  # noqa: PLW1509 - one thread at this time
        )
        sampler = _Sampler(process.pid)
        try:
            code = process.wait(_LIMIT_S)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            sampler.stop()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # Its own group, see start_new_session.
            process.wait()
    if code:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
        raise RuntimeError(f"{name} {_ended(code)}:\n{tail}")
    return _sample(name, load, begun_ns, sampler, truth[0], peer.read(folder))


def _ended(code: int | None) -> str:
    return f"took longer than {_LIMIT_S} s" if code is None else f"exited with {code}"


def _sample(
    name: str,
    load: Load,
    begun_ns: int,
    sampler: _Sampler,
    truth: Truth,
    reported: dict[str, float],
) -> Sample:
    # A peer may send requests to check the server first; the last requests count.
    order = np.argsort(truth.requests["arrival_ns"])
    counted = select(truth, order[-int(reported["requests"]) :])
    first_ns = int(counted.requests["arrival_ns"].min())
    last_ns = int(truth.send_ns[token_indices(counted)[0]].max())
    server = server_metrics(counted)
    known = [key for key in reported if key in server]
    errors = {
        f"{key.removesuffix('_ms')}_off_ms": abs(reported[key] - server[key]) for key in known
    }
    if "tpot_mean_ms" in reported:
        errors["tpot_bias"] = reported["tpot_mean_ms"] / server["tpot_mean_ms"] - 1
    return Sample(
        client=name,
        concurrency=load.concurrency,
        requests=int(reported["requests"]),
        failed=load.requests - int(reported["requests"]),
        tokens=int(counted.requests["sent"].sum()),
        cpu_s=sampler.cpu_between(first_ns, last_ns),
        wall_s=(last_ns - first_ns) / 1e9,
        rss_bytes=sampler.rss_bytes,
        start_s=(int(truth.requests["arrival_ns"].min()) - begun_ns) / 1e9,
        unmatched=None,
        miscounted=None,
        errors=errors,
        server=server,
        more=dict(reported),
    )


class _Sampler:
    """Samples CPU time and memory of all processes of a session in a thread."""

    def __init__(self, session: int) -> None:
        self._session = session
        self._last: dict[int, int] = {}
        self._curve: list[tuple[int, int]] = []
        self._over = threading.Event()
        self.rss_bytes = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop sampling."""
        self._over.set()
        self._thread.join()

    def cpu_between(self, first_ns: int, last_ns: int) -> float:
        """CPU seconds between two instants, interpolated between samples."""
        at, used = np.array(self._curve).T
        begin, end = np.interp([first_ns, last_ns], at, used)
        return float(end - begin) / 1e9

    def _run(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            rss = 0
            for pid in _members(self._session):
                try:
                    self._last[pid] = cpu_ns(pid)
                    rss += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
                except (OSError, IndexError):
                    continue
            self.rss_bytes = max(self.rss_bytes, rss * os.sysconf("SC_PAGE_SIZE"))
            self._curve.append((time.monotonic_ns(), sum(self._last.values())))


def _members(session: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getsid(int(entry.name)) == session:
                    found.append(int(entry.name))
            except OSError:
                continue
    return found
