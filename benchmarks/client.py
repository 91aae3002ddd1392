"""Measure the load client beside a floor and its peers, on one reference server, in one run.

``python benchmarks/client.py`` (see benchmarks/README.md). Ratios decide; absolute figures are the
machine's.
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
from reference import CReference, Load, Place, Reference
from sample import Sample

Run = Callable[[Path], Sample]


@attrs.frozen(kw_only=True)
class Bench:
    """What every run of this command shares."""

    reference: Reference
    floor_client: Path
    place: Place
    peers: dict[str, Path]
    split: bool

    def clients(self, load: Load, *, with_peers: bool, seconds: float = 0) -> dict[str, Run]:
        """The clients of one repetition, in their order."""
        runs: dict[str, Run] = {
            one.name: partial(self._floor, one, load, seconds)
            for one in floor.floors(self.floor_client)
        }
        runs["ours"] = lambda f: ours.run(self.reference, load, self.place, f, seconds)
        if self.split:
            runs["split"] = lambda f: ours.run(self.reference, load, self.place, f, seconds, 2)
            runs["half"] = lambda f: self._half(load, seconds, f)
        if with_peers:
            for name, program in self.peers.items():
                runs[name] = self._peer(name, program, load)
        return runs

    def _half(self, load: Load, seconds: float, folder: Path) -> Sample:
        """What each of two workers does on a core of its own."""
        half = attrs.evolve(load, streams=load.streams // 2, requests=load.requests // 2)
        sample = ours.run(self.reference, half, self.place, folder, seconds)
        return attrs.evolve(sample, client="half", streams=load.streams)

    def _floor(self, one: floor.Floor, load: Load, seconds: float, folder: Path) -> Sample:
        return floor.run(one, self.reference, load, self.place, folder, seconds)

    def _peer(self, name: str, program: Path, load: Load) -> Run:
        return lambda f: peers.run(name, program, self.reference, load, self.place, f)

    def alternate(
        self, load: Load, repeats: int, peer_repeats: int, seconds: float = 0
    ) -> list[Sample]:
        """A B A B: what the machine does meanwhile meets all of them."""
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
                        print(f"{name} at {load.streams}: {error}", file=sys.stderr)
                        continue
                _tell(sample)
                samples.append(sample)
        return samples


def _tell(sample: Sample) -> None:
    print(
        f"  {sample.streams} streams, {sample.client}: {sample.us_per_token:.1f} us/token, "
        f"{sample.requests} requests in {sample.wall_s:.1f} s",
        file=sys.stderr,
        flush=True,
    )


def _options(argv: list[str] | None) -> argparse.Namespace:
    cores = sorted(os.sched_getaffinity(0))[:2]
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--streams", default="64,256,1024", help="how many at a time")
    parser.add_argument("--tokens", type=int, default=128, help="of each answer")
    parser.add_argument("--ttft-ms", type=float, default=50.0)
    parser.add_argument("--itl-ms", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each run, about")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer-repeats", type=int, default=1)
    parser.add_argument(
        "--peer", action="append", default=[], metavar="NAME=PROGRAM", help=", ".join(peers.PEERS)
    )
    parser.add_argument("--peer-streams", default="64", help="at which of --streams peers run")
    parser.add_argument("--no-peers", action="store_true", help="only ours and the floors")
    parser.add_argument(
        "--split",
        action="store_true",
        help="what each of two workers does, alone and together",
    )
    parser.add_argument("--one-token", action="store_true", help="requests per second as well")
    parser.add_argument("--one-token-streams", type=int, default=64)
    parser.add_argument("--server-core", type=int, default=cores[0])
    parser.add_argument("--client-core", type=int, default=cores[-1])
    parser.add_argument(
        "--realtime", action="store_true", help="server and clients ahead of all other processes"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args(argv)


def _load(options: argparse.Namespace, streams: int) -> Load:
    one_s = (options.ttft_ms + (options.tokens - 1) * options.itl_ms) / 1e3
    rounds = max(1, round(options.seconds / one_s))
    return Load(
        streams=streams,
        requests=streams * rounds,
        tokens=options.tokens,
        ttft_us=round(options.ttft_ms * 1000),
        itl_us=round(options.itl_ms * 1000),
    )


def main(argv: list[str] | None = None) -> int:
    """Run it all; 0 when it could, whatever the figures."""
    options = _options(argv)
    cores = {options.server_core, options.client_core}
    if len(cores) < 2 or not cores <= os.sched_getaffinity(0):
        print("two cores are needed, one for the server and one for the client", file=sys.stderr)
        return 5
    with tempfile.TemporaryDirectory(prefix="tokenbench-benchmark-") as folder:
        try:
            binaries = build.build(Path(folder))
        except RuntimeError as error:
            print(f"no floor and no truth: {error}", file=sys.stderr)
            return 5
        bench = _bench(options, binaries)
        samples = []
        for streams in map(int, options.streams.split(",")):
            load = _load(options, streams)
            wanted = str(streams) in options.peer_streams.split(",")
            samples += bench.alternate(load, options.repeats, options.peer_repeats * wanted)
        one_token = _one_token(bench, options) if options.one_token else []
    _show(options, samples, one_token)
    return 0


def _bench(options: argparse.Namespace, binaries: build.Binaries) -> Bench:
    given = dict(item.split("=", 1) for item in options.peer)
    server, client = (
        Place(cpus=frozenset({core}), realtime=options.realtime)
        for core in (options.server_core, options.client_core)
    )
    return Bench(
        reference=CReference(binary=binaries.server, place=server),
        floor_client=binaries.client,
        place=client,
        split=options.split,
        peers={} if options.no_peers else peers.installed(given),
    )


def _one_token(bench: Bench, options: argparse.Namespace) -> list[Sample]:
    """Answers of one token, at once: the client is what limits."""
    load = Load(streams=options.one_token_streams, requests=0, tokens=1, ttft_us=0, itl_us=0)
    return bench.alternate(load, options.repeats, 0, min(options.seconds, 3.0))


def _show(options: argparse.Namespace, samples: list[Sample], one_token: list[Sample]) -> None:
    found = report.targets(samples, one_token)
    ratios = report.ratios(samples)
    print(report.table(samples))
    if one_token:
        print("\none token a request:")
        print(report.table(one_token))
    print("\nCPU per token, ratios:")
    print("\n".join(f"  {name}: {value:.2f}" for name, value in ratios.items()))
    print()
    print(report.target_table(found))
    if options.json:
        options.json.write_text(json.dumps(_plain(options, samples, one_token), indent=1) + "\n")


def _plain(
    options: argparse.Namespace, samples: list[Sample], one_token: list[Sample]
) -> dict[str, Any]:
    settings = {k: v for k, v in vars(options).items() if k not in ("json", "peer")}
    return {
        "schema": 1,
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": {
            "kernel": platform.release(),
            "python": platform.python_version(),
            "cores": len(os.sched_getaffinity(0)),
            "load_average": os.getloadavg()[0],
        },
        "settings": settings,
        "samples": [_one(s) for s in samples],
        "one_token": [_one(s) for s in one_token],
        "ratios": report.ratios(samples),
        "targets": [attrs.asdict(t) for t in report.targets(samples, one_token)],
    }


def _one(sample: Sample) -> dict[str, Any]:
    return attrs.asdict(sample) | {"us_per_token": sample.us_per_token}


if __name__ == "__main__":
    sys.exit(main())
