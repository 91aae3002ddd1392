"""When a question is asked again, and after how long."""

from __future__ import annotations

import datetime as dt
import email.utils

from tokenbench.load.generate import Generated

ATTEMPTS, ATTEMPTS_AFTER_TIMEOUT = 5, 2
LONGEST_WAIT_S = 60.0
_FIRST_WAIT_S = 0.5
# The server is busy (429, 503), or a proxy reports that it could not be reached (408, 502, 504).
_PASSING = {408, 429, 502, 503, 504}


def wait_s(failed: Generated, attempt: int) -> float | None:
    """Seconds to wait before a question is asked again; None if it is given up.

    Waits double, from 0.5 s. A longer ``Retry-After`` is respected up to a minute.

    Args:
        attempt: how often it was asked until now.
    """
    attempts = ATTEMPTS_AFTER_TIMEOUT if failed.lost == "timeout" else ATTEMPTS
    if attempt >= attempts or not passing(failed.http_status):
        return None
    return min(
        LONGEST_WAIT_S,
        max(_FIRST_WAIT_S * 2.0 ** (attempt - 1), _asked_for_s(failed.retry_after)),
    )


def passing(http_status: int | None) -> bool:
    """Whether a failure is temporary: a lost connection, an incomplete response, a busy server.
    Refusals and errors of the server itself would occur again.
    """
    return http_status in (None, 200) or http_status in _PASSING


def _asked_for_s(retry_after: str | None) -> float:
    """The header's value in seconds: a number, or a date. 0 if it is neither."""
    if retry_after is None:
        return 0.0
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            date = email.utils.parsedate_to_datetime(retry_after)
        except ValueError:
            return 0.0
        if date.tzinfo is None:
            date = date.replace(tzinfo=dt.UTC)
        seconds = (date - dt.datetime.now(dt.UTC)).total_seconds()
    return seconds if seconds > 0 else 0.0
