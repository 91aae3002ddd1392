"""One client's run at one load, as numbers."""

from __future__ import annotations

import time
from pathlib import Path

import attrs
from truth import Timestamps, errors, match, only, span

from tokenbench.calibrate.ground_truth import Truth

WARM_UP_IDS = 500_000_000


@attrs.frozen(kw_only=True)
class Sample:
    """What one run of one client came to.

    Attributes:
        client: its name.
        streams: how many at a time.
        requests: ended as they should, in the measured part.
        failed: ended otherwise.
        tokens: streamed in the measured part, by the server's count.
        cpu_s: user and system time of the client's processes in the measured part.
        wall_s: of the measured part.
        rss_bytes: its peak, summed over its processes.
        start_s: from starting the client to its first request.
        unmatched: requests of the client of which the server knows nothing.
        miscounted: requests whose tokens the client and the server count differently.
        errors: against the truth (see truth.errors), or of reported means (see peers).
        server: what the server did (see truth.span).
        more: what only this client says.
    """

    client: str
    streams: int
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
    more: dict[str, float | bool | str]

    @property
    def us_per_token(self) -> float:
        """CPU microseconds per streamed token."""
        return self.cpu_s / self.tokens * 1e6 if self.tokens else float("nan")


def cpu_ns(pid: int) -> int:
    """CPU time of a process so far, with its ended threads: its CPUCLOCK_SCHED clock.

    The id is made as ``MAKE_PROCESS_CPUCLOCK`` of linux/posix-timers.h makes it.
    """
    return time.clock_gettime_ns((~pid << 3) | 2)


def peak_rss_bytes(pid: int) -> int:
    """VmHWM."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def compared(truth: Truth, timestamps: Timestamps) -> dict[str, object]:
    """The fields of a sample that come from laying the two records over each other."""
    measured = only(truth, (truth.requests["id"] >= 0) & (truth.requests["id"] < WARM_UP_IDS))
    matched, unmatched = match(measured, timestamps)
    agree = len(matched.requests) == len(timestamps.id)
    wrong = (
        int((matched.requests["sent"] != timestamps.tokens).sum()) if agree else len(timestamps.id)
    )
    sound = agree and not wrong and len(timestamps.id) > 0
    return {
        "tokens": int(measured.requests["sent"].sum()),
        "unmatched": unmatched + len(measured.requests) - len(matched.requests),
        "miscounted": wrong,
        "errors": errors(matched, timestamps) if sound else {},
        "server": span(measured),
    }
