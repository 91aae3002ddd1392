"""The result of one run of one client."""

from __future__ import annotations

import time
from pathlib import Path

import attrs
from accuracy import ClientTimestamps, errors, match, select, server_metrics

from tokenbench.calibrate.ground_truth import Truth

WARM_UP_IDS = 500_000_000


@attrs.frozen(kw_only=True)
class Sample:
    """The result of one run of one client.

    Attributes:
        client: its name.
        concurrency: requests in flight.
        requests: successful requests in the measured part.
        failed: failed requests in the measured part.
        tokens: tokens in the measured part, counted by the server.
        cpu_s: user and system time of the client's processes in the measured part.
        wall_s: duration of the measured part.
        rss_bytes: peak memory, summed over the client's processes.
        start_s: from the start of the client to its first request.
        unmatched: requests that only the client, or only the server, knows.
        miscounted: requests with different token counts of client and server.
        errors: differences to the ground truth (accuracy.errors), or of reported means (peers.py).
        server: what the server did (accuracy.server_metrics).
        more: figures that only this client reports.
    """

    client: str
    concurrency: int
    requests: int
    failed: int
    tokens: int
    cpu_s: float
    wall_s: float
    rss_bytes: int
    start_s: float
    unmatched: int | None
    miscounted: int | None
    errors: dict[str, float]
    server: dict[str, float]
    more: dict[str, float | bool | str | None]

    @property
    def us_per_token(self) -> float:
        """CPU time per token, in microseconds."""
        return self.cpu_s / self.tokens * 1e6 if self.tokens else float("nan")


def cpu_ns(pid: int) -> int:
    """CPU time of a process so far, ended threads included.

    The clock id is that of ``MAKE_PROCESS_CPUCLOCK`` (linux/posix-timers.h) with CPUCLOCK_SCHED.
    """
    return time.clock_gettime_ns((~pid << 3) | 2)


def peak_rss_bytes(pid: int) -> int:
    """Peak resident memory (VmHWM)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def compare(truth: Truth, timestamps: ClientTimestamps) -> dict[str, object]:
    """The fields of a sample that compare the client's timestamps with the ground truth."""
    measured = select(truth, (truth.requests["id"] >= 0) & (truth.requests["id"] < WARM_UP_IDS))
    matched, unmatched = match(measured, timestamps)
    agree = len(matched.requests) == len(timestamps.id)
    wrong = (
        int((matched.requests["sent"] != timestamps.tokens).sum()) if agree else len(timestamps.id)
    )
    comparable = agree and not wrong and len(timestamps.id) > 0
    return {
        "tokens": int(measured.requests["sent"].sum()),
        "unmatched": unmatched + len(measured.requests) - len(matched.requests),
        "miscounted": wrong,
        "errors": errors(matched, timestamps) if comparable else {},
        "server": server_metrics(measured),
    }
