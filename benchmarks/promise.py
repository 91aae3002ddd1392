"""The central promise on random servers: what is certified is true.

``python benchmarks/promise.py RESULTS.jsonl --count 300`` draws scripted servers (lengths, jitter,
breaks, errors, lies about usage, freezes, drifts, slow starts, caches) and loads (closed and open,
short and long). `bench run` measures each. The server writes down what it really sent, and when.
That gives the true throughput, TTFT, TPOT, token count and success share of the same steady state.

A violation is a certified point with a number off by more than its stated half-width plus 2 %. By
chance 5 % of the stated 95 % intervals miss; the 2 % forgive most of these. The command resumes:
trials that RESULTS.jsonl has are not run again.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ALLOWED = 0.02
METRICS = ("output_tok_s.steady", "ttft_s.p50", "tpot_s.p50", "output_tokens", "requests_ok")


def main() -> None:
    """Run the missing trials and print the outcome of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    done = _read(options.results)
    for number in range(options.count):
        seed = options.seed + number
        if seed not in done:
            done[seed] = trial(seed)
            with options.results.open("a") as out:
                out.write(json.dumps(done[seed]) + "\n")
            print(_line(done[seed]), flush=True)
    print(summary(list(done.values())))


def _read(file: Path) -> dict[int, dict[str, Any]]:
    lines = file.read_text().splitlines() if file.exists() else []
    return {row["seed"]: row for row in map(json.loads, lines)}


def draw(seed: int) -> tuple[list[str], list[str], bool]:
    """A server's options, a load's flags, and whether the server is sound."""
    rng = random.Random(seed)
    server = [
        *("--counters", "vllm"),
        *("--ttft-s", f"{rng.choice((0.005, 0.02, 0.1)):g}"),
        *("--itl-s", f"{rng.choice((0.002, 0.005, 0.02)):g}"),
        *("--jitter", f"{rng.choice((0.0, 0.2, 0.6)):g}"),
        *("--tokens-per-chunk", str(rng.choice((1, 1, 1, 3)))),
    ]
    faults = {
        "--freeze": f"{rng.uniform(2, 8):.1f}:{rng.uniform(0.5, 6):.1f}",
        "--drift": f"{rng.uniform(0.1, 1.0):.2f}",
        "--drop-share": f"{rng.uniform(0.01, 0.3):.2f}",
        "--error-share": f"{rng.uniform(0.01, 0.3):.2f}",
        "--status-share": f"{rng.uniform(0.01, 0.3):.2f}",
        "--usage-factor": f"{rng.choice((0.5, 0.9, 1.1, 2.0)):g}",
        "--short-share": f"{rng.uniform(0.02, 0.5):.2f}",
        "--cached-share": f"{rng.uniform(0.02, 0.9):.2f}",
        "--slow-start": f"{rng.randint(1, 12)}:{rng.uniform(0.5, 3):.1f}",
        "--miscount": f"{rng.choice((0.7, 1.3)):g}",
    }
    chosen = rng.sample(sorted(faults), k=rng.choice((0, 0, 1, 1, 2)))
    for name in chosen:
        server += [name, faults[name]]
    tokens = rng.choice((8, 32, 64))
    load = ["--workload", f"random:input_tokens=32,output_tokens={tokens},output_range=0.8"]
    if rng.random() < 0.7:
        load += ["--concurrency", str(rng.choice((1, 4, 16)))]
    else:
        load += ["--rate", f"{rng.choice((2, 5, 10)):g}"]
    load += rng.choice(
        (["--duration", "4"], ["--duration", "10"], ["--duration", "24"], ["--requests", "60"], [])
    )
    load += rng.choice(([], ["--repeats", "3"]))
    return server, load, not chosen


def trial(seed: int) -> dict[str, Any]:
    """Measure one server; the verdict, and each number beside the truth."""
    server, load, sound = draw(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port = _free_port()
        command = [sys.executable, "-m", "tokenbench_testing.server", "--port", str(port)]
        process = subprocess.Popen(
            [*command, *server, "--truth", str(folder / "truth")], stderr=subprocess.DEVNULL
        )
        try:
            _await(port)
            engine = f"openai:base_url=http://127.0.0.1:{port},model=m,server=vllm"
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "tokenbench.cli.main", "run", "--engine", engine),
                    *load,
                    *("--runs", str(folder / "runs"), "--reporter", "files"),
                ],
                capture_output=True,
                text=True,
                check=False,
                timeout=600,
            )
        finally:
            process.kill()
            process.wait()
        row = {
            "seed": seed,
            "server": server,
            "load": load,
            "sound": sound,
            "code": done.returncode,
        }
        results = list(folder.glob("runs/*/results.jsonl"))
        if not results or not results[0].read_text():
            return row | {"measurement": "none", "why": done.stderr.strip()[-300:]}
        result = json.loads(results[0].read_text().splitlines()[0])
        return row | _compare(result, results[0].parent, folder / "truth")


def _compare(result: dict[str, Any], run: Path, truth: Path) -> dict[str, Any]:
    served = [json.loads(line) for line in truth.read_text().splitlines()] if truth.exists() else []
    true = _true(run / "points" / result["point"], served, result["level"]["concurrency"])
    numbers, violations = {}, []
    for name in METRICS:
        estimate = result["metrics"].get(name) or {}
        mean, half = estimate.get("mean"), estimate.get("half_width") or 0.0
        numbers[name] = [mean, half, true.get(name)]
        if mean is not None and true.get(name) is not None:
            off = abs(mean - true[name])
            if off > half + ALLOWED * abs(true[name]):
                violations.append(name)
    bad = [c for c in result["checks"] if c["outcome"] not in ("ok", "not assessed")]
    return {
        "measurement": result["measurement"],
        "why": "; ".join(f"{c['name']}: {c['outcome']}" for c in bad),
        "numbers": numbers,
        "violations": violations,
    }


def _true(point: Path, served: list[dict[str, Any]], concurrency: int | None) -> dict[str, float]:
    """The mean over repeats of what the server knows, in the same steady states."""
    import pyarrow.parquet as pq

    rows: list[dict[str, float]] = []
    for folder in sorted(point.glob("repeat-*")):
        phase = json.loads((folder / "phase.json").read_text())
        records = pq.read_table(folder / "records.parquet")
        sent = np.sort(records["sent_first_ns"].to_numpy())
        sent = sent[sent > 0]
        if concurrency is None:
            scheduled = records["scheduled_ns"].to_numpy()
            window = (scheduled.min(), scheduled.max())
        elif len(sent) < concurrency:
            continue
        else:
            window = (sent[concurrency - 1], phase["dispatch_ended_ns"])
        mine = [r for r in served if phase["started_ns"] <= r["received_ns"] <= phase["ended_ns"]]
        rows.append(_of_repeat(mine, window))
    names = {name for row in rows for name in row}
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}


def _of_repeat(served: list[dict[str, Any]], window: tuple[int, int]) -> dict[str, float]:
    begin, end = window
    tokens = sum(
        count
        for request in served
        for ns, count in zip(request["sent_ns"], request["tokens"], strict=True)
        if begin <= ns <= end
    )
    found = {
        "output_tokens": float(sum(sum(request["tokens"]) for request in served)),
        "requests_ok": float(len(served)),
    }
    if end > begin:
        found["output_tok_s.steady"] = tokens / ((end - begin) / 1e9)
    ttft = [(r["sent_ns"][0] - r["received_ns"]) / 1e9 for r in served if r["sent_ns"]]
    tpot = [
        (r["sent_ns"][-1] - r["sent_ns"][0]) / 1e9 / (sum(r["tokens"]) - 1)
        for r in served
        if sum(r["tokens"]) > 1 and r["sent_ns"][-1] > r["sent_ns"][0]
    ]
    if ttft:
        found["ttft_s.p50"] = float(np.median(ttft))
    if tpot:
        found["tpot_s.p50"] = float(np.median(tpot))
    return found


def summary(rows: list[dict[str, Any]]) -> str:
    """Verdicts, violations of certified points, and why sound servers were not certified."""
    verdicts = collections.Counter(row["measurement"] for row in rows)
    certified = [row for row in rows if row["measurement"] == "certified"]
    broken = [row for row in certified if row["violations"]]
    lines = [
        f"{len(rows)} servers: " + ", ".join(f"{n} {name}" for name, n in verdicts.most_common()),
        f"certified with a number off by more than its half-width plus 2 %: {len(broken)}",
    ]
    lines += [f"  {_line(row)} {row['violations']}" for row in broken]
    sound = [row for row in rows if row["sound"] and row["measurement"] != "certified"]
    lines.append(f"sound servers that were not certified: {len(sound)}")
    lines += [f"  {_line(row)}" for row in sound]
    return "\n".join(lines)


def _line(row: dict[str, Any]) -> str:
    return (
        f"seed {row['seed']}: {row['measurement']}; {' '.join(row['load'][2:])}; "
        f"{' '.join(row['server'])}; {row.get('why', '')[:160]}"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError("the scripted server did not start")


if __name__ == "__main__":
    main()
