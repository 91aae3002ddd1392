"""The load worker as a process, against a server with known behaviour."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tokenbench.api import CHAT, Session, SingleTurn, Stop, TextPrompt, Turn, TurnResult
from tokenbench.load.records import Status
from tokenbench.load.worker_handle import Progress
from tokenbench.store.records import read_raw

from .conftest import plain_session
from .peers import Peer, whole


def _status(folder: Path) -> dict[str, int]:
    records, _ = read_raw(folder)
    names, counts = np.unique(records["status"], return_counts=True)
    return {Status(int(n)).name: int(c) for n, c in zip(names, counts, strict=True)}


def test_timestamps_and_counts_are_right(serve, drive, tmp_path) -> None:
    """TTFT, TPOT and token counts of a server with a known schedule; ordered timestamps."""
    summary = drive(serve("--ttft-s", "0.05", "--itl-s", "0.01"), concurrency=4)
    records, chunks = read_raw(tmp_path)
    assert summary.stopped_by == "requests"
    assert len(records) == summary.turns == 20
    assert set(records["n_out"]) == {10}
    assert set(records["n_in"]) == {4}
    assert len(chunks) == 200
    order = ("scheduled_ns", "sent_first_ns", "sent_last_ns", "first_ns", "last_ns", "end_ns")
    for before, after in itertools.pairwise(order):
        assert (records[before] <= records[after]).all()
    ttft = (records["first_ns"] - records["sent_first_ns"]) / 1e9
    tpot = (records["last_ns"] - records["first_ns"]) / 1e9 / 9
    # asyncio sleeps a little longer than asked, never shorter.
    assert 0.05 <= np.median(ttft) < 0.12
    assert 0.01 <= np.median(tpot) < 0.03


@pytest.mark.serial
def test_concurrency_is_held(serve, drive) -> None:
    """While it dispatches, the closed loop keeps its concurrency."""
    summary = drive(serve(), concurrency=8, stop=Stop(duration_s=1.0))
    assert summary.stopped_by == "duration"
    # A busy machine costs a little; losing one of the eight would cost 12.5 %.
    assert summary.in_flight_ns / summary.target_in_flight_ns > 0.93


def test_the_duration_waits_for_min_requests(serve, drive) -> None:
    """A slow server gets `min_requests` requests, even after the duration."""
    summary = drive(
        serve("--ttft-s", "0.4"), concurrency=2, stop=Stop(duration_s=0.1, min_requests=4)
    )
    assert (summary.turns, summary.stopped_by) == (4, "duration")


def test_chat_codec(serve, drive, tmp_path) -> None:
    """The other built-in codec."""
    drive(serve(), codec=CHAT)
    assert _status(tmp_path) == {"OK": 20}


@pytest.mark.parametrize(
    ("option", "status"), [("--drop-share=1.0", "BROKEN"), ("--refuse", "HTTP")]
)
def test_failures_are_classified(serve, drive, tmp_path, option: str, status: str) -> None:
    """Each failure has a status, and the load continues."""
    summary = drive(serve(option))
    assert _status(tmp_path) == {status: 20}
    assert summary.errors


def test_no_server_is_a_connect_error(drive, tmp_path) -> None:
    """No server listens: the phase ends soon."""
    drive("http://127.0.0.1:9", stop=Stop(requests=4))
    assert _status(tmp_path) == {"CONNECT": 4}


def test_usage_replaces_the_end_mark(serve, drive, tmp_path) -> None:
    """transformers serve sends no [DONE]."""
    drive(serve("--no-done"))
    assert _status(tmp_path) == {"OK": 20}


def test_a_stall_ends_the_phase(serve, drive, tmp_path) -> None:
    """No token for the timeout: the requests in flight are recorded as stalled."""
    begun = time.monotonic()
    summary = drive(
        serve("--hang-after", "3"), concurrency=2, stop=Stop(duration_s=60), stall_timeout_s=1.0
    )
    assert summary.stopped_by == "stalled"
    assert time.monotonic() - begun < 10
    assert _status(tmp_path)["STALLED"] == 2


def test_request_timeout(serve, drive, tmp_path) -> None:
    """A request that takes too long ends, and the next one starts."""
    drive(serve("--ttft-s", "5"), stop=Stop(requests=4), request_timeout_s=0.5)
    assert _status(tmp_path) == {"TIMEOUT": 4}


def test_an_interruption_keeps_completed_turns(serve, drive, tmp_path) -> None:
    """The requests in flight are recorded as cancelled."""
    progress: list[Progress] = []
    summary = drive(
        serve("--itl-s", "0.05"),
        stop=Stop(duration_s=60),
        on_progress=progress.append,
        interrupted=lambda: bool(progress) and progress[-1].turns >= 4,
    )
    assert summary.stopped_by == "cancelled"
    found = _status(tmp_path)
    assert found["CANCELLED"] == 4
    assert found["OK"] >= 4


class Dialogue(Session):
    """Two turns at once, then one that quotes both responses: a fork and a join."""

    def __init__(self) -> None:
        self.responses: list[str] = []

    def next(self, previous: TurnResult | None) -> Turn | tuple[Turn, ...] | None:
        """The fork, then the join after both have ended."""
        if previous is None:
            return (_turn("first"), _turn("second"))
        if previous.number < 2:
            self.responses.append(previous.text)
            if len(self.responses) == 2:
                quoted = " ".join(self.responses)
                return Turn(prompt=TextPrompt(quoted), max_tokens=3, parents=(0, 1), delay_s=0.1)
        return None


def _turn(text: str) -> Turn:
    return Turn(prompt=TextPrompt(text), max_tokens=5)


@pytest.mark.covers("Session.next")
def test_a_later_turn_uses_earlier_responses(serve, drive, tmp_path) -> None:
    """Fork, join and think time: the third prompt has both responses and is sent 0.1 s later."""
    drive(serve(), concurrency=1, sessions=[Dialogue()], stop=Stop(requests=3))
    records, _ = read_raw(tmp_path)
    joined = records[records["turn"] == 2][0]
    others = records[records["turn"] < 2]
    assert joined["n_in"] == 10  # Two responses of five words.
    assert joined["sent_first_ns"] - others["end_ns"].max() >= 100_000_000
    assert joined["scheduled_ns"] - others["end_ns"].max() == 100_000_000


class Silent(Session):
    """A session without turns."""

    def next(self, previous: TurnResult | None) -> Turn | None:
        """No turn."""
        return None


def test_empty_sessions_are_skipped(serve, drive) -> None:
    """Many in a row cause no recursion."""
    silent: list[Session] = [Silent() for _ in range(30_000)]
    summary = drive(serve(), concurrency=1, sessions=[*silent, Dialogue()], stop=Stop(requests=9))
    assert (summary.turns, summary.stopped_by) == (3, "sessions")


class Thinker(Session):
    """One turn, before which the session uses 5 ms of CPU time."""

    def next(self, previous: TurnResult | None) -> Turn | None:
        """The turn, then the end."""
        if previous is not None:
            return None
        end_s = time.process_time() + 0.005
        while time.process_time() < end_s:
            pass
        return _turn("word")


def test_the_cpu_share_is_that_of_the_dispatching(start_server, drive) -> None:
    """A long drain, in which the client only waits, does not reduce it."""

    def script(peer: Peer) -> None:
        while peer.request() is not None:
            time.sleep(0 if peer.number else 4)
            peer.send(whole())

    thinkers: list[Session] = [Thinker() for _ in range(500)]
    server = start_server(script)
    summary = drive(server.url, concurrency=2, sessions=thinkers, stop=Stop(duration_s=1.2))
    dispatching_s = (summary.dispatch_ended_ns - summary.started_ns) / 1e9
    assert (summary.ended_ns - summary.started_ns) / 1e9 > 2 * dispatching_s
    assert summary.cpu_share * dispatching_s > 0.9 * 0.005 * summary.turns


def test_a_burst_has_the_cpu_share_of_its_phase(serve, drive) -> None:
    """If all requests were sent at once, the time of sending is too short for a share."""
    summary = drive(serve("--ttft-s", "1"), concurrency=20)
    assert 0 < summary.cpu_share < 0.5


def test_too_few_sessions_end_the_phase(serve, drive) -> None:
    """Prompts are never reused: `stopped_by` is sessions."""
    summary = drive(serve(), sessions=[plain_session(i) for i in range(6)], stop=Stop(requests=99))
    assert (summary.turns, summary.stopped_by) == (6, "sessions")


def test_connections_are_reused(serve, drive, tmp_path) -> None:
    """As many connections as concurrency."""
    drive(serve(), concurrency=4, stop=Stop(requests=40))
    records, _ = read_raw(tmp_path)
    assert int((records["reused"] == 0).sum()) == 4


def test_the_worker_imports_no_heavy_library() -> None:
    """The load worker needs no pyarrow, numpy, httpx or click."""
    code = (
        "import sys, tokenbench.load.worker;"
        "print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"pyarrow", "numpy", "httpx", "click", "rich", "torch", "lm_eval", "cattrs", "yaml"}
    assert not heavy & set(done.stdout.split())


@pytest.mark.covers("SingleTurn.next")
def test_single_turn_sessions_end() -> None:
    """After its only turn, the session returns None."""
    session = plain_session(0)
    assert isinstance(session, SingleTurn)
    assert session.next(None) is session.turn
    assert session.next(SimpleNamespace(number=0)) is None  # type: ignore[arg-type]
