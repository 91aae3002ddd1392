"""Prompts are prepared ahead of need, in bounded batches; a phase that waited for them says so."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from tokenbench.api import COMPLETIONS, Dialect, Session, Stop, Target
from tokenbench.load import session_feed, session_file
from tokenbench.load.codecs import CompletionsCodec
from tokenbench.load.job import LoadJob
from tokenbench.load.records import PhaseSummary
from tokenbench.load.session_feed import SessionFeed
from tokenbench.load.session_file import NotYet, PreparedRequest, SessionReader, SessionWriter
from tokenbench.load.target_url import TargetUrl
from tokenbench.load.worker_group import WorkerGroup
from tokenbench.store.records import read_raw

from .conftest import plain_session
from .peers import Peer, whole
from .test_load_worker import Dialogue

TARGET = Target(model="m", dialect=Dialect(codecs=(COMPLETIONS,), ignore_eos=True))
URL = TargetUrl("http://127.0.0.1:1", api_key=None)
CODEC = CompletionsCodec()


# -- the file ------------------------------------------------------------------------------------


def test_the_file_may_be_read_while_it_is_written(tmp_path: Path) -> None:
    """Cut at every byte, the file gives the sessions before the cut, then says that more come."""
    whole_file, cut_file = tmp_path / "whole", tmp_path / "cut"
    writer = SessionWriter(whole_file)
    sessions: list[Session] = [plain_session(0), Dialogue(), plain_session(2)]
    for session in sessions:
        writer.write(session, CODEC, TARGET)
    writer.end()
    data = whole_file.read_bytes()
    for cut in range(len(data)):
        cut_file.write_bytes(data[:cut])
        with contextlib.closing(SessionReader(cut_file, URL)) as reader:
            reader.read_ahead(1)
            found = list(iter(reader.next, NotYet.PREPARED))
            assert reader.next() is NotYet.PREPARED
            with cut_file.open("ab") as file:
                file.write(data[cut:])
            found += list(iter(reader.next, None))
            assert reader.next() is None
        kinds = [type(session) for session in found]
        assert kinds == [PreparedRequest, Dialogue, PreparedRequest], cut


def test_large_files_are_continued_and_deleted(tmp_path: Path, monkeypatch) -> None:
    """Space on the disk is bounded: what was read is deleted, apart from the first file."""
    monkeypatch.setattr(session_file, "_MAX_FILE_BYTES", 1000)
    path = tmp_path / "sessions"
    writer = SessionWriter(path)
    reader = SessionReader(path, URL)
    most = 0
    for number in range(200):
        writer.write(plain_session(number), CODEC, TARGET)
        writer.flush()
        session = reader.next()
        assert isinstance(session, PreparedRequest)
        assert json.loads(session.http_bytes.partition(b"\r\n\r\n")[2])["prompt"].startswith(
            f"prompt number {number} "
        )
        most = max(most, sum(file.stat().st_size for file in tmp_path.iterdir()))
    assert writer.size > 20_000
    assert most < 4000
    writer.end()
    assert reader.next() is None
    reader.close()
    writer.delete()
    assert not list(tmp_path.iterdir())


# -- how many ------------------------------------------------------------------------------------


def _feed(folder: Path, sessions: Iterator[Session], **options: Any) -> SessionFeed:
    return SessionFeed(
        sessions, CODEC, TARGET, [folder / "a", folder / "b"], **{"concurrency": 4, **options}
    )


def _count(feed: SessionFeed) -> int:
    return feed._count


def _endless() -> Iterator[Session]:
    return map(plain_session, itertools.count())


@pytest.mark.parametrize(
    ("options", "least"), [({}, 64), ({"concurrency": 50}, 200), ({"rate_per_s": 300.0}, 600)]
)
def test_the_first_batch_suffices_for_the_start(tmp_path, monkeypatch, options, least) -> None:
    """However slow they are to make: four times the concurrency, two seconds of a known rate."""
    monkeypatch.setattr(session_feed, "_FIRST_S", -1.0)
    feed = _feed(tmp_path, _endless(), **options)
    feed.prepare(lambda: False)
    assert _count(feed) == least
    feed.close()


def test_the_first_batch_is_bounded(tmp_path, monkeypatch) -> None:
    """By what the phase needs at most, by bytes (but all may start), by their end."""
    feed = _feed(tmp_path, _endless(), limit=7)
    feed.prepare(lambda: False)
    assert _count(feed) == 7
    feed.close()
    monkeypatch.setattr(session_feed, "_FIRST_BYTES", 5000)
    feed = _feed(tmp_path, _endless(), concurrency=4)
    feed.prepare(lambda: False)
    assert 4 <= _count(feed) < 60
    feed.close()
    feed = _feed(tmp_path, _endless(), concurrency=90)
    feed.prepare(lambda: False)
    assert _count(feed) == 90
    feed.close()
    feed = _feed(tmp_path, iter([plain_session(0)]))
    feed.prepare(lambda: False)
    assert (feed.exhausted, _count(feed)) == (True, 1)
    feed.close()
    assert not list(tmp_path.iterdir())


def test_preparing_can_be_interrupted(tmp_path) -> None:
    """Prompts that take long to make do not delay an interruption."""

    def slow() -> Iterator[Session]:
        for session in _endless():
            time.sleep(0.02)
            yield session

    feed = _feed(tmp_path, slow(), concurrency=10_000)
    begun = time.monotonic()
    feed.prepare(lambda: time.monotonic() - begun > 0.2)
    assert time.monotonic() - begun < 2
    feed.close()


def test_the_feed_stays_ahead_of_the_rate(tmp_path, monkeypatch) -> None:
    """Two seconds of the rate at which sessions were taken, in turns of bounded length."""
    monkeypatch.setattr(session_feed, "_FIRST_S", -1.0)
    now = [100.0]
    monkeypatch.setattr(session_feed, "monotonic", lambda: now[0])
    feed = _feed(tmp_path, _endless())
    feed.prepare(lambda: False)
    assert not feed.top_up([0, 0])
    assert _count(feed) == 64
    now[0] += 1.0
    taken = [25, 25]
    feed.top_up([1, 1])
    now[0] += 1.0
    assert not feed.top_up(taken)
    # 48 in a second: 96 ahead of the 50 that were taken.
    assert _count(feed) == pytest.approx(50 + 2 * 48, abs=2)
    # The worker that took more decides.
    assert not feed.top_up([50, 25])
    assert (_count(feed) + 1) // 2 - 50 >= 48
    feed.close()


def test_a_turn_of_topping_up_is_short(tmp_path) -> None:
    """So that progress and cancelling stay responsive; it says that more are missing."""

    def slow() -> Iterator[Session]:
        yield from map(plain_session, range(64))
        for session in _endless():
            time.sleep(0.02)
            yield session

    feed = _feed(tmp_path, slow())
    feed.prepare(lambda: False)
    begun = time.monotonic()
    assert feed.top_up([30, 30])
    assert time.monotonic() - begun < 1
    feed.close()


# -- in a phase ----------------------------------------------------------------------------------

Run = Callable[..., PhaseSummary]


@pytest.fixture
def run(serve, tmp_path: Path) -> Run:
    """Run a phase on a worker group, with these sessions."""

    def run(
        sessions: Iterator[Session],
        arrivals: array[int] | None = None,
        *,
        url: str = "",
        workers: int = 1,
        interrupted: Callable[[], bool] = lambda: False,
        on_progress: Callable[[Any], None] = lambda _: None,
        **changes: Any,
    ) -> PhaseSummary:
        folder = tmp_path / "phase"
        folder.mkdir(exist_ok=True)
        job = LoadJob(
            url=url or serve("--ttft-s", "0.001", "--itl-s", "0.001"),
            codec=COMPLETIONS,
            model="m",
            dialect=TARGET.dialect,
            sessions="",
            output=str(folder),
            stop=Stop(),
        )
        with WorkerGroup(cpus=tuple(range(1)) * workers, logs=tmp_path) as group:
            summary = group.run(
                attrs.evolve(job, **changes),
                sessions,
                arrivals,
                on_progress=on_progress,
                interrupted=interrupted,
                alive=lambda: True,
            )
        assert not list(folder.glob("sessions*"))
        return summary

    return run


@pytest.mark.parametrize("workers", [1, 2])
def test_an_endless_workload_lasts_for_the_duration(run: Run, tmp_path, workers) -> None:
    """Nothing says beforehand how many sessions the phase needs, and none is lost or repeated."""
    summary = run(_endless(), workers=workers, concurrency=4, stop=Stop(duration_s=2.0))
    assert summary.stopped_by == "duration"
    records, _ = read_raw(tmp_path / "phase")
    assert len(records) > 100
    assert len(set(records["session"])) == len(records)


def test_an_open_loop_takes_an_endless_workload(run: Run) -> None:
    """As many sessions as arrivals."""
    times = array("q", [n * 10_000_000 for n in range(150)])
    summary = run(_endless(), times, rate_per_s=100.0)
    assert (summary.stopped_by, summary.turns, summary.starved_ns) == ("schedule", 150, 0)


def _slow(first: int, gap_s: float) -> Iterator[Session]:
    for number in itertools.count():
        if number >= first:
            time.sleep(gap_s)
        yield plain_session(number)


def test_a_closed_loop_that_waits_for_prompts_says_so(run: Run) -> None:
    """It goes on when there are prompts again, and the waiting time is measured."""
    summary = run(_slow(64, 0.1), concurrency=4, stop=Stop(duration_s=3.0))
    assert summary.stopped_by == "duration"
    assert 64 < summary.turns < 110
    assert summary.starved_ns > 1_000_000_000


def test_an_open_loop_that_waits_for_prompts_says_so(run: Run, tmp_path) -> None:
    """Late sessions keep their scheduled time, so their delay is visible."""
    times = array("q", [n * 1_000_000 for n in range(80)])
    summary = run(_slow(64, 0.05), times)
    assert (summary.stopped_by, summary.turns) == ("schedule", 80)
    assert summary.starved_ns > 300_000_000
    records, _ = read_raw(tmp_path / "phase")
    assert sorted(records["scheduled_ns"] - summary.started_ns) == list(times)


def test_enough_prompts_starve_nobody(run: Run) -> None:
    """The first batch covers the start, the feed the rest."""
    summary = run(_endless(), concurrency=2, stop=Stop(duration_s=1.5))
    assert summary.starved_ns < 50_000_000


def test_the_end_of_the_sessions_is_known(run: Run) -> None:
    """Only then does the phase stop for want of sessions, also after a pause of the workload."""
    sessions = itertools.islice(_slow(64, 0.05), 70)
    summary = run(sessions, concurrency=4, stop=Stop(duration_s=60))
    assert (summary.stopped_by, summary.turns) == ("sessions", 70)


def test_a_slow_workload_can_be_cancelled(run: Run) -> None:
    """While the phase waits for prompts; progress goes on until then."""
    begun: list[float] = []
    seen: list[Any] = []

    def interrupted() -> bool:
        begun.append(time.monotonic())
        return bool(seen) and seen[-1].elapsed_s > 1.5

    summary = run(
        _slow(64, 0.2),
        concurrency=4,
        stop=Stop(duration_s=60),
        interrupted=interrupted,
        on_progress=seen.append,
    )
    assert summary.stopped_by == "cancelled"
    assert len(seen) >= 4
    assert (summary.ended_ns - summary.started_ns) / 1e9 < 10


def test_a_workload_that_fails_ends_the_phase(run: Run) -> None:
    """Its error reaches the caller, whether it fails before the phase or in the middle of it."""

    def failing(after: int) -> Iterator[Session]:
        yield from map(plain_session, range(after))
        raise LookupError("no more data")

    for after in (3, 5000):
        with pytest.raises(LookupError, match="no more data"):
            run(failing(after), concurrency=8, stop=Stop(duration_s=60))


def test_a_stop_rule_ends_the_waiting_for_prompts(run: Run, start_server, monkeypatch) -> None:
    """The duration ends while sessions are wanted; the requests in flight are completed."""
    monkeypatch.setattr(session_feed, "_FIRST_S", -1.0)
    release = threading.Event()

    def script(peer: Peer) -> None:
        while peer.request() is not None:
            peer.send(whole())

    def blocked() -> Iterator[Session]:
        yield from map(plain_session, range(64))
        release.wait(2.0)
        yield from _endless()

    summary = run(blocked(), url=start_server(script).url, concurrency=4, stop=Stop(duration_s=1.0))
    assert summary.stopped_by == "duration"
    assert summary.turns == 64
    assert 200_000_000 < summary.starved_ns <= 1_100_000_000
