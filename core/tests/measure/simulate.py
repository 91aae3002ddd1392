"""Simulated runs: what a good client records of a good server.

The server has continuous batching: it prefills one prompt at a time and decodes a bounded number of
requests together, slower the more there are; other requests queue. The client is late by tens of
microseconds. The simulation does not depend on any check or limit. Of servers that drift, freeze or
report wrong usage, it also returns what truly happened.
"""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from simulated_server import Request, Server

from tokenbench.api import Check, CheckOutcome, Counters, Estimate, FrozenMap, Measurement, Stop
from tokenbench.load.records import ABSENT, ClockPair, PhaseSummary, Status, TokenSource
from tokenbench.measure.arrays import CHUNK_DTYPE, RECORD_DTYPE, Floats, Ints, Rows
from tokenbench.measure.certify import certify
from tokenbench.measure.checks import verdict
from tokenbench.measure.client_checks import client_coalesced_share
from tokenbench.measure.devices import Devices
from tokenbench.measure.estimates import estimates
from tokenbench.measure.evidence import Evidence
from tokenbench.measure.metrics import measure_repeat
from tokenbench.measure.thresholds import CertificationThresholds
from tokenbench.measure.window import steady_window

if TYPE_CHECKING:
    from simulated_runs import Run

_START_NS = 5_000_000_000_000


@attrs.frozen(eq=False)
class Sent:
    """What the server sent to one request: when its chunks left, and their tokens."""

    sent: float
    left: Floats
    tokens: Ints


@attrs.frozen
class Truth:
    """What truly happened in a repeat, by the names of metrics; None without any."""

    values: dict[str, float | None]

    @classmethod
    def of(cls, sent: list[Sent], start: float, end: float) -> Truth:
        """Of the window from `start` to `end`."""
        at = np.concatenate([one.left for one in sent] or [np.zeros(0)])
        tokens = np.concatenate([one.tokens for one in sent] or [np.zeros(0)])
        inside = (at >= start) & (at <= end)
        several = [one for one in sent if one.left[-1] > one.left[0] and one.tokens.sum() > 1]
        tpot = [(one.left[-1] - one.left[0]) / (one.tokens.sum() - 1) for one in several]
        ttft = [one.left[0] - one.sent for one in sent]
        rate = float(tokens[inside].sum() / (end - start)) if end > start else None
        return cls(
            {
                "output_tok_s.steady": rate,
                "ttft_s.p50": float(np.median(ttft)) if ttft else None,
                "tpot_s.p50": float(np.median(tpot)) if tpot else None,
                "output_tokens": float(tokens.sum()),
            }
        )


@attrs.define
class _Client:
    """Sends requests in an open or closed loop and records them."""

    run: Run
    rng: np.random.Generator
    server: Server
    done: list[Request] = attrs.field(factory=list)
    due: list[tuple[float, int, int, int]] = attrs.field(factory=list)
    sessions: int = 0
    sent: int = 0
    stopped: float = 0.0

    def drive(self) -> int:
        """Run until the last response ends; return the number of scheduled turns."""
        run, server = self.run, self.server
        starts = [0.0] * run.concurrency if run.concurrency is not None else self._arrivals()
        for at in starts:
            heapq.heappush(self.due, (at, *self._session(), 0))
        self.stopped = run.duration_s if run.requests is None else math.inf
        while True:
            if self.due and (self.due[0][0] > self.stopped or self.sent == run.requests):
                self.due.clear()
            at = self.due[0][0] if self.due else math.inf
            if min(at, server.next()) == math.inf:
                return self.sent
            for request in server.advance(max(server.now, min(at, server.next()))):
                self._ended(request)
            if self.due and self.due[0][0] <= server.now:
                self._send(*heapq.heappop(self.due))

    def _arrivals(self) -> list[float]:
        gaps = self.rng.exponential(1 / self.run.rate_per_s, 4096)
        while gaps.sum() < self.run.duration_s:
            gaps = np.append(gaps, self.rng.exponential(1 / self.run.rate_per_s, 4096))
        times = np.cumsum(gaps)
        return [float(at) for at in times[times < self.run.duration_s]]

    def _session(self) -> tuple[int, int]:
        self.sessions += 1
        most = 2 * self.run.turns - 1
        return self.sessions - 1, int(self.rng.integers(1, most + 1)) if most > 1 else 1

    def _length(self, most: int) -> int:
        if self.run.fixed_lengths:
            return most
        return int(self.rng.integers(max(1, int(0.8 * most)), most + 1))

    def _send(self, at: float, session: int, turns: int, turn: int) -> None:
        run, rng = self.run, self.rng
        asked_out = n_out = self._length(run.n_out)
        if not run.exact_output:
            n_out = int(min(asked_out, max(1, rng.exponential(asked_out / 2))))
        request = Request(
            at=at,
            session=session,
            turns=turns,
            turn=turn,
            asked_in=self._length(run.n_in) + turn * (run.n_in + run.n_out),
            asked_out=asked_out,
            n_out=n_out,
            pace=max(0.5, 1 + float(rng.normal()) * run.within_repeat),
            sent=at + float(rng.lognormal(np.log(30e-6), 0.5)),
        )
        self.sent += 1
        if self.sent == run.requests:
            self.stopped = request.sent
        self.server.take(request)

    def _ended(self, request: Request) -> None:
        run = self.run
        # Network and client latency.
        request.end = self.server.now + float(self.rng.lognormal(np.log(80e-6), 0.3))
        self.done.append(request)
        if request.turn + 1 < request.turns:
            think = float(self.rng.exponential(run.think_s)) if run.think_s else 0.0
            following = (request.end + think, request.session, request.turns, request.turn + 1)
            heapq.heappush(self.due, following)
        elif run.concurrency is not None:
            heapq.heappush(self.due, (request.end, *self._session(), 0))

    # -- records ---------------------------------------------------------------------------------

    def records(self) -> tuple[Rows, Rows, list[Sent]]:
        """Records and chunks in the order in which turns ended, and what was sent in truth."""
        times, work = (np.array(column) for column in zip(*self.server.path, strict=True))
        rows, timestamps, tokens, truth = [], [], [], []
        for request in self.done:
            counts = self._chunks(request.n_out)
            marks = request.mark + (np.cumsum(counts) - 1) * request.pace
            # Where the server was idle, the mark of a last token has several times.
            left = np.minimum(np.interp(marks, work, times), request.end - 80e-6)
            if request.n_out == 1:
                left[:] = request.end - 80e-6
            held = self._merged(len(left))
            left[held] = left[held + 1]
            read = _all_ns(self._read_times(left, held, request.end))
            rows.append(self._row(request, read))
            timestamps.append(read)
            known = self.run.continuous_usage and self.run.reports_out == 1.0
            tokens.append(counts if known else np.full(len(read), ABSENT))
            truth.append(Sent(request.sent, left, counts))
        records = np.zeros(len(rows), RECORD_DTYPE)
        for name in rows[0] if rows else ():
            records[name] = [row[name] for row in rows]
        records["chunk_offset"] = np.cumsum(records["chunks"]) - records["chunks"]
        chunks = np.zeros(int(records["chunks"].sum()), CHUNK_DTYPE)
        if len(chunks):
            chunks["ns"], chunks["tokens"] = np.concatenate(timestamps), np.concatenate(tokens)
        return records, chunks, truth

    def _chunks(self, n_out: int) -> Ints:
        """Tokens of each chunk."""
        size = self.run.tokens_per_chunk
        counts = np.full(-(-n_out // size), size, np.int64)
        if self.run.speculative:
            counts = self.rng.integers(1, 5, n_out)
            counts = counts[: int(np.searchsorted(np.cumsum(counts), n_out)) + 1]
        counts[-1] -= counts.sum() - n_out
        return counts

    def _merged(self, chunks: int) -> Ints:
        """The chunks that something upstream holds back until the next one."""
        if not self.run.merged_upstream or chunks < 2:
            return np.zeros(0, np.int64)
        return np.flatnonzero(self.rng.random(chunks - 1) < self.run.merged_upstream)

    def _read_times(self, left: Floats, held: Ints, end: float) -> Floats:
        """Read times of chunks that left the server; those that were held are read together."""
        read = left + self.rng.lognormal(np.log(25e-6), 0.4, len(left))
        read[held] = read[held + 1]
        return np.minimum(np.maximum.accumulate(read), end)

    def _row(self, request: Request, ns: Ints) -> dict[str, Any]:
        run, n_in = self.run, request.asked_in + self.run.template
        sent_ns = _ns(request.sent)
        cached = 16 * (run.template // 16) if request.turn == 0 else n_in - run.n_in
        return {
            "session": request.session,
            "turn": request.turn,
            "status": Status.OK,
            "http_status": 200,
            "reused": 1,
            "exact_output": run.exact_output,
            "token_source": TokenSource.USAGE,
            "scheduled_ns": _ns(request.at),
            "sent_first_ns": sent_ns,
            "sent_last_ns": sent_ns,
            "first_ns": ns[0],
            "last_ns": ns[-1],
            "end_ns": _ns(request.end),
            "n_in": round(n_in * run.reports_in),
            "n_out": max(1, round(request.n_out * run.reports_out)),
            "n_cached": cached if run.reports_cache else ABSENT,
            "asked_in": request.asked_in if request.turn == 0 else ABSENT,
            "asked_out": request.asked_out,
            "chunks": len(ns),
            "label": ABSENT,
            "asked_shared": ABSENT,
            "answer_ns": ns[0],
            "coalesced": int(np.count_nonzero(np.diff(ns) == 0)),
        }


def _ns(seconds: float) -> int:
    return _START_NS + round(seconds * 1e9)


def _all_ns(seconds: Floats) -> Ints:
    return _START_NS + np.round(seconds * 1e9).astype(np.int64)


def _repeat(run: Run, number: int) -> tuple[Evidence, Truth]:
    rng = np.random.default_rng([run.seed, number])
    server = Server(run=run, speed=1 + float(rng.normal()) * run.between_repeats)
    client = _Client(run=run, rng=rng, server=server)
    scheduled = client.drive()
    records, chunks, sent = client.records()
    stopped = _ns(client.stopped)
    in_flight = np.minimum(records["end_ns"], stopped) - records["sent_first_ns"]
    clock = ClockPair(wall_ns=0, monotonic_ns=0)
    ended = max(stopped, int(records["end_ns"].max(initial=stopped)))
    wall_s = (ended - _START_NS) / 1e9
    delays = rng.lognormal(np.log(8e3), 0.9, max(1, len(chunks)))
    phase = PhaseSummary(
        started_ns=_START_NS,
        dispatch_ended_ns=stopped,
        ended_ns=ended,
        clock_start=clock,
        clock_end=clock,
        stopped_by="duration" if run.requests is None else "requests",
        turns=len(records),
        concurrency=run.concurrency,
        rate_per_s=None if run.concurrency is not None else run.rate_per_s,
        scheduled_turns=scheduled,
        cpu_share=min(0.5, (0.002 + len(chunks) * 12e-6) / wall_s),
        in_flight_ns=int(np.maximum(in_flight, 0).sum()),
        target_in_flight_ns=(run.concurrency or 0) * (stopped - _START_NS),
        loop_delay_ns=(*(int(v) for v in np.percentile(delays, [50, 90, 99])), int(delays.max())),
        merged_delay_ns=tuple(int(v) for v in np.percentile(delays, range(101))),
    )
    evidence = _evidence(run, rng, records, chunks, phase)
    window = evidence.steady
    start, end = ((ns - _START_NS) / 1e9 for ns in (window.start_ns, window.end_ns))
    return evidence, Truth.of(sent, start, end)


def _evidence(
    run: Run, rng: np.random.Generator, records: Rows, chunks: Rows, phase: PhaseSummary
) -> Evidence:
    before = after = None
    if run.counters:
        start = rng.integers(0, 10**6, 3).astype(float)
        sums = [float(records[name].sum()) for name in ("n_in", "n_out")]
        cached = float(records["n_cached"].sum()) if run.reports_cache else None
        before = _counters(start[0], start[1], None if cached is None else start[2])
        after = _counters(
            start[0] + sums[0], start[1] + sums[1], None if cached is None else start[2] + cached
        )
    metrics = measure_repeat(records, chunks, phase, accelerators=1)
    evidence = Evidence(
        records=records,
        chunks=chunks,
        phase=phase,
        metrics=metrics,
        steady=steady_window(records, phase),
        before=before,
        after=after,
        stop=Stop(duration_s=None if run.requests else run.duration_s, requests=run.requests),
        prompt_form="chat" if run.template else "token ids",
        foreign_share=0.01,
        prefix_caching=run.prefix_caching,
        accelerated=run.accelerated,
    )
    assert client_coalesced_share(evidence) <= CertificationThresholds().coalesced_withhold_itl
    if not run.accelerated:
        return evidence
    return attrs.evolve(
        evidence,
        devices=Devices(
            gaps_s={"acme": float(rng.uniform(0.1, 1.5))},
            slowdowns={"acme 0": (float(rng.choice([0.0, rng.uniform(0, 0.008)])), ("thermal",))},
            slow_clocks={"acme 0": float(rng.uniform(0.93, 1.0))},
        ),
    )


def _counters(prompt: float, generated: float, cached: float | None) -> Counters:
    return Counters(prompt_tokens=prompt, generated_tokens=generated, cached_prompt_tokens=cached)


def simulate(run: Run) -> tuple[list[Evidence], list[Truth]]:
    """The evidence of all repeats of a run, and the truth about each."""
    found = [_repeat(run, number) for number in range(run.repeats)]
    return [evidence for evidence, _ in found], [truth for _, truth in found]


@attrs.frozen
class Judged:
    """A run's verdict and checks, its estimates, and the truth about its repeats."""

    verdict: Measurement
    checks: tuple[Check, ...]
    metrics: FrozenMap[Estimate]
    truths: list[Truth]

    @property
    def faults(self) -> list[Check]:
        """The checks that flag or invalidate the run."""
        good = (CheckOutcome.OK, CheckOutcome.NOT_ASSESSED)
        return [check for check in self.checks if check.outcome not in good]


def judge(run: Run, limits: CertificationThresholds | None = None) -> Judged:
    """As for a point of `bench run`."""
    repeats, truths = simulate(run)
    metrics = estimates(repeats)
    checks = certify(repeats, metrics, limits or CertificationThresholds())
    return Judged(verdict(checks), checks, metrics, truths)
