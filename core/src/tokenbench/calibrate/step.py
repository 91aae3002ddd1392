"""Measures one concurrency level and compares the records with the ground truth."""

from __future__ import annotations

import contextlib
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import attrs

from tokenbench.api import (
    COMPLETIONS,
    Check,
    CheckOutcome,
    Dialect,
    EngineError,
    Session,
    SingleTurn,
    Stop,
    TextPrompt,
    Turn,
)
from tokenbench.launch.cpu_time import CoreTimes
from tokenbench.launch.ports import free_port
from tokenbench.launch.process import Process, start, tail
from tokenbench.launch.python import module_command
from tokenbench.load.cores import Cores, WorkerCount
from tokenbench.load.job import LoadJob
from tokenbench.load.records import PhaseSummary, Status
from tokenbench.load.worker_group import WorkerGroup
from tokenbench.measure import client_checks
from tokenbench.measure.evidence import Evidence
from tokenbench.measure.metrics import measure_repeat
from tokenbench.measure.thresholds import CertificationThresholds
from tokenbench.measure.window import steady_window
from tokenbench.store.records import read_raw

from .ground_truth import Errors, compare, read_truth

CLIENT_CHECKS = (
    client_checks.loop_delay,
    client_checks.dispatch_delay,
    client_checks.cpu,
    client_checks.coalesced,
    client_checks.offered_load,
)
"""The checks of `bench run` that a level must pass."""
LATENESS_LIMIT_S = 0.2e-3
"""A server whose p99 lateness exceeds this cannot be used to measure the client."""
# Requests that start together stay in step, because their gaps are equal. Then many tokens are due
# at once, and the server sends most of them late. So starts are spread over a few gaps.
_START_INTERVAL_S = 100e-6
_START_GAPS = 5
_WARM_UP_ID = 100_000_000
_WARM_UP_TOKENS = 8
_WORDS = 16
_START_LIMIT_S = 15.0
_BUG = "run it again; report a bug if it fails again"


@attrs.frozen(kw_only=True)
class Traffic:
    """The requests of a level and its length. Times in seconds.

    `tokens` is the mean answer length. Lengths vary from 0.5 to 1.5 times the mean, because
    requests of equal length would start and end in step.
    `min_requests`: a level sends at least this many requests, because checks need at least ten for
    a percentile.
    """

    ttft_s: float = 0.05
    itl_s: float = 0.01
    tokens: int = 128
    seconds: float = 5.0
    min_requests: int = 12

    @property
    def request_s(self) -> float:
        """Time from the arrival of a mean request to its last token."""
        return self.ttft_s + (self.tokens - 1) * self.itl_s


@attrs.frozen(kw_only=True)
class Step:
    """One measured level.

    `stolen_share`: share of the cores' time that the hypervisor gave to other guests, 0 to 1; None
    if unknown.
    """

    concurrency: int
    load_workers: int
    seconds: float
    tokens_per_s: float
    cpu_share: float
    failed: int
    errors: Errors
    checks: tuple[Check, ...]
    stolen_share: float | None = None

    @property
    def server_limit(self) -> str | None:
        """Why this level says nothing about the client; None if the server kept its schedule."""
        late = self.errors.lateness
        if late is None:
            return "no request completed"
        if late.p99 <= LATENESS_LIMIT_S:
            return None
        limit_ms = LATENESS_LIMIT_S * 1e3
        return f"server lateness p99 {late.p99 * 1e3:.2f} ms, limit {limit_ms:g} ms"

    @property
    def client_limits(self) -> tuple[str, ...]:
        """Failed checks of the client, as text."""
        bad = (CheckOutcome.FLAGGED, CheckOutcome.INVALID)
        limits = [f"{c.name}: {c.evidence}" for c in self.checks if c.outcome in bad]
        if self.failed:
            limits.append(f"{self.failed} requests failed")
        if self.errors.unmatched:
            limits.append(f"{self.errors.unmatched} requests do not match the ground truth")
        return tuple(limits)

    @property
    def ended_by(self) -> str | None:
        """Whose limit is exceeded: ``server`` (the client is not judged), ``client`` or None."""
        if self.server_limit is not None:
            return "server"
        return "client" if self.client_limits else None


class Calibrator:
    """Load workers for all levels and a reference server per level. A context manager.

    Args:
        cores: the first of the engine's cores is the reference server's.
        count: how many load workers a concurrency gets.
        folder: for records, ground truth and logs; the caller removes it.
        interrupted: polled several times a second; once True, a level ends early.
        server: executable of another reference server, with the arguments and the ground-truth file
            of benchmarks/c/server.c.
    """

    def __init__(
        self,
        traffic: Traffic,
        cores: Cores,
        count: WorkerCount,
        folder: Path,
        interrupted: Callable[[], bool],
        server: Path | None = None,
    ) -> None:
        self._traffic = traffic
        self._server = server
        self._cores = cores
        self._worker_count = count
        self._folder = folder
        self._interrupted = interrupted
        self._count = 0
        self.workers = WorkerGroup(cpus=cores.workers, logs=folder)

    def __enter__(self) -> Calibrator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.workers.close()

    def step(self, concurrency: int) -> Step:
        """Measure a level: a warm-up, then the phase that is compared.

        Raises:
            EngineError: the server did not start, or exited.
        """
        self._count += 1
        folder = self._folder / f"{self._count}-c{concurrency}"
        measured = folder / "measured"
        for path in (folder, folder / "warm-up", measured):
            path.mkdir()
        truth = folder / "truth.bin"
        with self._reference_server(truth, folder / "server.log", concurrency) as (url, alive):
            warm = Stop(requests=concurrency)
            self._phase(url, folder / "warm-up", concurrency, warm, alive)
            stop = Stop(duration_s=self._traffic.seconds, min_requests=self._traffic.min_requests)
            workers = self._cores.load_workers(self._worker_count, concurrency)
            cpus = (self._cores.engine[0], *self._cores.workers[:workers])
            before = CoreTimes.of(cpus)
            summary = self._phase(url, measured, concurrency, stop, alive)
            stolen_share = before.stolen_share(CoreTimes.of(cpus))
            if not alive():
                raise EngineError(
                    f"the reference server exited: {tail(folder / 'server.log', 1)}", hint=_BUG
                )
        step = _judge(concurrency, summary, measured, truth)
        shutil.rmtree(folder)
        return attrs.evolve(step, stolen_share=stolen_share)

    def _phase(
        self, url: str, folder: Path, concurrency: int, stop: Stop, alive: Callable[[], bool]
    ) -> PhaseSummary:
        traffic = self._traffic
        if stop.requests is not None:
            first, count, tokens, interval_s = _WARM_UP_ID, stop.requests, _WARM_UP_TOKENS, 0.0
        else:
            rounds = 1.5 * traffic.seconds / traffic.request_s + 2
            first, count = 0, int(concurrency * rounds) + traffic.min_requests
            tokens = None
            interval_s = min(_START_INTERVAL_S, _START_GAPS * traffic.itl_s / concurrency)
        job = LoadJob(
            url=url,
            codec=COMPLETIONS,
            model="reference",
            dialect=Dialect(codecs=(COMPLETIONS,), ignore_eos=True),
            sessions="",
            output=str(folder),
            stop=stop,
            concurrency=concurrency,
            request_timeout_s=60.0,
            stall_timeout_s=20.0,
            drain_timeout_s=60.0,
        )
        return self.workers.run(
            job,
            (
                _session(
                    first + n,
                    tokens or _answer_tokens(n, traffic.tokens),
                    delay_s=n * interval_s if n < concurrency else 0.0,
                )
                for n in range(count)
            ),
            workers=self._cores.load_workers(self._worker_count, concurrency),
            on_progress=lambda _: None,
            interrupted=self._interrupted,
            alive=alive,
        )

    @contextlib.contextmanager
    def _reference_server(
        self, truth: Path, log: Path, concurrency: int
    ) -> Iterator[tuple[str, Callable[[], bool]]]:
        """Run a reference server for the block; on exit it has written the ground truth."""
        traffic, port = self._traffic, free_port()
        tokens = concurrency * (traffic.seconds / traffic.itl_s + 2 * traffic.tokens)
        capacity = int(tokens) + traffic.min_requests * traffic.tokens
        capacity += concurrency * _WARM_UP_TOKENS
        options = {
            "--port": port,
            "--truth": truth,
            "--ttft-s": traffic.ttft_s,
            "--itl-s": traffic.itl_s,
            "--tokens": traffic.tokens,
            "--capacity": capacity,
        }
        argv = module_command(
            "tokenbench.calibrate.server",
            *(str(word) for option in options.items() for word in option),
        )
        if self._server is not None:
            times_us = [str(round(time_s * 1e6)) for time_s in (traffic.ttft_s, traffic.itl_s)]
            argv = [str(self._server), str(port), *times_us, str(truth)]
        process = start(argv, cpus=self._cores.engine[:1], log=log)
        try:
            _await_port(process, port)
            yield f"http://127.0.0.1:{port}", lambda: process.exit_code is None
        finally:
            process.stop()


def _answer_tokens(number: int, mean: int) -> int:
    """Length of answer `number`, from 0.5 to 1.5 times `mean`. Multiplicative hashing with Knuth's
    constant (2^32 over the golden ratio) gives consecutive answers different lengths.
    """
    return max(1, mean // 2) + (number * 2654435761 % 2**32) * mean // 2**32


def _session(number: int, tokens: int, delay_s: float) -> Session:
    return SingleTurn(
        Turn(
            prompt=TextPrompt(f"#{number:09d}{' word' * (_WORDS - 1)}"),
            max_tokens=tokens,
            exact_output=True,
            n_in=_WORDS,
            delay_s=delay_s,
        )
    )


def _await_port(process: Process, port: int) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline and process.exit_code is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise EngineError(
        f"the reference server did not start: {process.log_tail(1)}",
        hint=_BUG,
    )


def _judge(concurrency: int, summary: PhaseSummary, folder: Path, truth: Path) -> Step:
    """Read the records and check them as `bench run` checks a repeat."""
    records, chunks = read_raw(folder)
    metrics = measure_repeat(records, chunks, summary, accelerators=0)
    evidence = Evidence(
        records=records,
        chunks=chunks,
        phase=summary,
        metrics=metrics,
        steady=steady_window(records, summary),
    )
    limits = CertificationThresholds()
    failed = (records["status"] != Status.OK) & (records["status"] != Status.CANCELLED)
    return Step(
        concurrency=concurrency,
        load_workers=summary.workers,
        seconds=(summary.ended_ns - summary.started_ns) / 1e9,
        tokens_per_s=metrics["output_tok_s.whole"] or 0.0,
        cpu_share=summary.cpu_share or 0.0,
        failed=int(failed.sum()),
        errors=compare(read_truth(truth), records, chunks),
        checks=tuple(check(evidence, limits) for check in CLIENT_CHECKS),
    )
