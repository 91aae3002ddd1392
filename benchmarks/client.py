"""Compare the load worker with minimal clients and with other tools, against one reference server.

``python benchmarks/client.py`` (see benchmarks/README.md). Ratios matter: absolute figures depend
on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import build
import floor
import ours
import peers
import report
from reference import CReference, Load, Placement, Reference
from sample import Sample

Run = Callable[[Path], Sample]


@attrs.frozen(kw_only=True)
class Comparison:
    """What all runs of this command share."""

    reference: Reference
    floor_client: Path
    placement: Placement
    peers: dict[str, Path]
    split: bool

    def clients(self, load: Load, *, with_peers: bool, seconds: float = 0) -> dict[str, Run]:
        """The clients of one repetition, in the order of their runs."""
        runs: dict[str, Run] = {
            client.name: partial(self._floor, client, load, seconds)
            for client in floor.floors(self.floor_client)
        }
        runs["ours"] = lambda f: ours.run(self.reference, load, self.placement, f, seconds)
        if self.split:
            runs["split"] = lambda f: ours.run(self.reference, load, self.placement, f, seconds, 2)
            runs["half"] = lambda f: self._half(load, seconds, f)
        if with_peers:
            for name, program in self.peers.items():
                runs[name] = self._peer(name, program, load)
        return runs

    def _half(self, load: Load, seconds: float, folder: Path) -> Sample:
        """The share of each of two workers that have a core of their own."""
        half = attrs.evolve(load, concurrency=load.concurrency // 2, requests=load.requests // 2)
        sample = ours.run(self.reference, half, self.placement, folder, seconds)
        return attrs.evolve(sample, client="half", concurrency=load.concurrency)

    def _floor(self, client: floor.Floor, load: Load, seconds: float, folder: Path) -> Sample:
        return floor.run(client, self.reference, load, self.placement, folder, seconds)

    def _peer(self, name: str, program: Path, load: Load) -> Run:
        return lambda f: peers.run(name, program, self.reference, load, self.placement, f)

    def alternate(
        self, load: Load, repeats: int, peer_repeats: int, seconds: float = 0
    ) -> list[Sample]:
        """Run the clients in rotation, so that other load on the machine affects all of them."""
        samples = []
        for number in range(repeats):
            with_peers = number < peer_repeats
            for name, run in self.clients(load, with_peers=with_peers, seconds=seconds).items():
                with tempfile.TemporaryDirectory(prefix="tokenbench-benchmark-") as folder:
                    try:
                        sample = run(Path(folder))
                    except (RuntimeError, OSError, ValueError) as error:
                        if name not in self.peers:
                            raise
                        print(f"{name} at {load.concurrency}: {error}", file=sys.stderr)
                        continue
                _print_progress(sample)
                samples.append(sample)
        return samples


def _print_progress(sample: Sample) -> None:
    print(
        f"  concurrency {sample.concurrency}, {sample.client}: {sample.us_per_token:.1f} us/token, "
        f"{sample.requests} requests in {sample.wall_s:.1f} s",
        file=sys.stderr,
        flush=True,
    )


def _options(argv: list[str] | None) -> argparse.Namespace:
    cores = sorted(os.sched_getaffinity(0))[:2]
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--concurrency", default="64,256,1024", help="requests in flight")
    parser.add_argument("--tokens", type=int, default=128, help="of each response")
    parser.add_argument("--ttft-ms", type=float, default=50.0)
    parser.add_argument("--itl-ms", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=8.0, help="approximate duration of a run")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer-repeats", type=int, default=1)
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=PROGRAM", help=", ".join(peers.PEERS)
    )
    parser.add_argument(
        "--peer-concurrency", default="64", help="which values of --concurrency peers get"
    )
    parser.add_argument("--no-peers", action="store_true", help="only ours and the floors")
    parser.add_argument(
        "--split",
        action="store_true",
        help="two workers as well, on one core and on a core each",
    )
    parser.add_argument("--one-token", action="store_true", help="requests of one token as well")
    parser.add_argument("--one-token-concurrency", type=int, default=64)
    parser.add_argument("--server-core", type=int, default=cores[0])
    parser.add_argument("--client-core", type=int, default=cores[-1])
    parser.add_argument(
        "--realtime", action="store_true", help="real-time priority for server and clients"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args(argv)


def _load(options: argparse.Namespace, concurrency: int) -> Load:
    request_s = (options.ttft_ms + (options.tokens - 1) * options.itl_ms) / 1e3
    rounds = max(1, round(options.seconds / request_s))
    return Load(
        concurrency=concurrency,
        requests=concurrency * rounds,
        tokens=options.tokens,
        ttft_us=round(options.ttft_ms * 1000),
        itl_us=round(options.itl_ms * 1000),
    )


def main(argv: list[str] | None = None) -> int:
    """Run all clients. Returns 0 whatever the figures, 5 if the machine lacks something."""
    options = _options(argv)
    cores = {options.server_core, options.client_core}
    if len(cores) < 2 or not cores <= os.sched_getaffinity(0):
        print("error: two cores are needed, for the server and the client", file=sys.stderr)
        return 5
    with tempfile.TemporaryDirectory(prefix="tokenbench-benchmark-") as folder:
        try:
            binaries = build.build(Path(folder))
        except RuntimeError as error:
            print(f"error: cannot build reference server and floor: {error}", file=sys.stderr)
            return 5
        comparison = _comparison(options, binaries)
        # This process prepares the sessions of `ours`: not on the core of the client.
        os.sched_setaffinity(0, os.sched_getaffinity(0) - {options.client_core})
        samples = []
        for concurrency in options.concurrency.split(","):
            load = _load(options, int(concurrency))
            with_peers = concurrency in options.peer_concurrency.split(",")
            samples += comparison.alternate(
                load, options.repeats, options.peer_repeats * with_peers
            )
        one_token = _one_token(comparison, options) if options.one_token else []
    _show(options, samples, one_token)
    return 0


def _comparison(options: argparse.Namespace, binaries: build.Binaries) -> Comparison:
    given = dict(item.split("=", 1) for item in options.peer)
    server, client = (
        Placement(cpus=frozenset({core}), realtime=options.realtime)
        for core in (options.server_core, options.client_core)
    )
    return Comparison(
        reference=CReference(binary=binaries.server, placement=server),
        floor_client=binaries.client,
        placement=client,
        split=options.split,
        peers={} if options.no_peers else peers.installed(given),
    )


def _one_token(comparison: Comparison, options: argparse.Namespace) -> list[Sample]:
    """Immediate responses of one token: the client limits the rate. Long enough that the sessions
    which are prepared ahead of need, for two seconds, are a small part of all.
    """
    load = Load(
        concurrency=options.one_token_concurrency, requests=0, tokens=1, ttft_us=0, itl_us=0
    )
    return comparison.alternate(load, options.repeats, 0, options.seconds)


def _show(options: argparse.Namespace, samples: list[Sample], one_token: list[Sample]) -> None:
    found = report.targets(samples, one_token)
    ratios = report.ratios(samples)
    print(report.table(samples))
    if one_token:
        print("\none token per request:")
        print(report.table(one_token))
    print("\nCPU per token, ratios:")
    print("\n".join(f"  {name}: {value:.2f}" for name, value in ratios.items()))
    print()
    print(report.target_table(found))
    if options.json:
        options.json.write_text(json.dumps(_report(options, samples, one_token), indent=1) + "\n")


def _report(
    options: argparse.Namespace, samples: list[Sample], one_token: list[Sample]
) -> dict[str, Any]:
    settings = {k: v for k, v in vars(options).items() if k not in ("json", "peer")}
    return {
        "schema": 2,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {
            "kernel": platform.release(),
            "python": platform.python_version(),
            "cores": len(os.sched_getaffinity(0)),
            "load_average": os.getloadavg()[0],
        },
        "settings": settings,
        "samples": [_sample(s) for s in samples],
        "one_token": [_sample(s) for s in one_token],
        "ratios": report.ratios(samples),
        "targets": [attrs.asdict(t) for t in report.targets(samples, one_token)],
    }


def _sample(sample: Sample) -> dict[str, Any]:
    return attrs.asdict(sample) | {"us_per_token": sample.us_per_token}


if __name__ == "__main__":
    sys.exit(main())
