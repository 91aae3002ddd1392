"""When a question is asked again, and when the eval ends."""

from __future__ import annotations

import datetime as dt
import email.utils

import pytest

from tokenbench.api import EngineError
from tokenbench.evals.health import ROW, Health
from tokenbench.evals.retries import ATTEMPTS, LONGEST_WAIT_S, wait_s
from tokenbench.load.generate import Generated


def failed(**more: object) -> Generated:
    """A generation that failed."""
    return Generated(text="", tokens=0, n_in=None, n_out=None, error="failed", **more)  # type: ignore[arg-type]


def _waits(**more: object) -> list[float]:
    waits = []
    while (wait := wait_s(failed(**more), len(waits) + 1)) is not None:
        waits.append(wait)
    return waits


@pytest.mark.parametrize(
    "failure",
    [{"http_status": status} for status in (200, 408, 429, 502, 503, 504)]
    + [{"lost": "connect"}, {"lost": "broken"}],
)
def test_what_may_pass_is_asked_again(failure: dict[str, object]) -> None:
    """With growing pauses, a limited number of times."""
    assert _waits(**failure) == [0.5, 1.0, 2.0, 4.0]


def test_a_timeout_is_tried_once_more() -> None:
    """Each takes as long as the user allows a request."""
    assert _waits(lost="timeout") == [0.5]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 500, 501])
def test_a_refusal_and_a_failure_of_the_server_itself_are_not_repeated(status: int) -> None:
    """The same request would fail again."""
    assert _waits(http_status=status) == []


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("3", 3.0),
        ("0", 0.5),
        ("86400", LONGEST_WAIT_S),
        ("-5", 0.5),
        ("soon", 0.5),
        ("nan", 0.5),
        ("", 0.5),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.5),
    ],
)
def test_retry_after_is_respected_within_reason(header: str, expected: float) -> None:
    """Seconds or a date; at most a minute; nonsense is ignored."""
    assert wait_s(failed(http_status=429, retry_after=header), 1) == expected


def test_retry_after_as_a_date() -> None:
    """In the future."""
    date = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=30)
    wait = wait_s(failed(http_status=503, retry_after=email.utils.format_datetime(date)), 1)
    assert wait is not None
    assert 1 < wait <= 30


def test_retry_after_does_not_raise_the_number_of_attempts() -> None:
    """A server that always asks for patience is given up too."""
    assert wait_s(failed(http_status=429, retry_after="1"), ATTEMPTS) is None


def test_a_row_of_failures_ends_the_eval() -> None:
    """An answer in between begins a new row."""
    health = Health(stall_timeout_s=60)
    for _ in range(ROW - 1):
        health.given_up(failed(http_status=503), begun=0.0)
    health.answered()
    for _ in range(ROW - 1):
        health.given_up(failed(http_status=503), begun=0.0)
    health.check()
    health.given_up(failed(http_status=503), begun=0.0)
    with pytest.raises(EngineError, match=rf"failed \({ROW} questions in a row\)"):
        health.check()


def test_refused_questions_do_not_end_an_eval_that_got_answers() -> None:
    """They may be too long, however many follow each other. Without any answer, all are refused."""
    health = Health(stall_timeout_s=60)
    health.answered()
    for _ in range(2 * ROW):
        health.given_up(failed(http_status=400), begun=0.0)
    health.check()
    health = Health(stall_timeout_s=60)
    for _ in range(ROW):
        health.given_up(failed(http_status=400), begun=0.0)
    assert health.down is not None


def test_a_server_that_nobody_reaches_is_dead_at_once() -> None:
    """Unless another question was answered meanwhile; a cut connection can be one question's."""
    health = Health(stall_timeout_s=60)
    begun = health.now()
    health.answered()
    health.given_up(failed(lost="connect"), begun)
    health.given_up(failed(lost="broken"), begun=health.now())
    assert health.down is None
    health.given_up(failed(lost="connect"), begun=health.now())
    assert health.down is not None
