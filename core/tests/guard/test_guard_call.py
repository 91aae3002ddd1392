"""Calls into plugins: limits, exceptions, threads, interruptions."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from typing import NoReturn

import pytest

from tokenbench.api import Interrupted, PluginError, UsageError
from tokenbench.guard import call as guard
from tokenbench.guard.call import call, items, together
from tokenbench.guard.limits import VARIABLE, limit_s
from tokenbench.guard.owner import Owner, PluginTooSlow

ENGINE = Owner("engine", "x", "dist", "1.0")
OTHER = Owner("codec", "y", "other", "2.0")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every limit is short enough to be waited for, and long enough for what does not hang."""
    monkeypatch.setenv(VARIABLE, "all=0.3,data=60")


def _hang() -> NoReturn:
    while True:
        time.sleep(0.01)


def test_a_result_is_returned_and_the_threads_of_a_plugin_are_one() -> None:
    """Libraries such as sqlite3 want all calls from the thread of the first."""
    first, second, other = (
        call(owner, "f()", "data", threading.get_ident, result=int)
        for owner in (ENGINE, ENGINE, OTHER)
    )
    assert first == second
    assert len({first, other, threading.get_ident()}) == 3


def test_a_call_that_does_not_return_names_plugin_and_member() -> None:
    """With a hint that says how to allow more, and where it hangs for --debug. The next call of the
    plugin has another thread.
    """
    with pytest.raises(PluginTooSlow) as caught:
        call(ENGINE, "ready()", "server", _hang)
    error = caught.value
    assert error.message == "engine 'x' (dist 1.0): ready() did not return within 0.3 s"
    assert f"{VARIABLE}=server=3" in error.hint
    assert error.exit_code == 3
    assert "in _hang" in error.__notes__[0]
    assert guard.stuck()
    assert call(ENGINE, "f()", "data", lambda: 1) == 1


@pytest.mark.parametrize(
    "error",
    [RuntimeError("no"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), OSError("no")],
)
def test_any_exception_becomes_an_error_that_names_the_plugin(error: BaseException) -> None:
    """Also those that end a process. The exception itself is the cause, for --debug."""

    def fail() -> NoReturn:
        raise error

    with pytest.raises(PluginError, match=r"engine 'x' \(dist 1.0\): plan\(\) raised") as caught:
        call(ENGINE, "plan()", "data", fail)
    assert caught.value.__cause__ is error
    assert "--debug" in caught.value.hint


def test_errors_with_a_meaning_keep_it() -> None:
    """Those of the API, and those that the member may raise."""

    def refuse() -> NoReturn:
        raise UsageError("refused", hint="another way")

    def gone() -> NoReturn:
        raise ConnectionError("gone")

    with pytest.raises(UsageError, match="refused"):
        call(ENGINE, "plan()", "data", refuse)
    with pytest.raises(ConnectionError, match="gone"):
        call(ENGINE, "ready()", "data", gone, meant=(ConnectionError,))
    with pytest.raises(PluginError, match="raised ConnectionError: gone"):
        call(ENGINE, "plan()", "data", gone)


def test_a_wrong_result_is_an_error() -> None:
    """It says what came and what should have."""
    with pytest.raises(PluginError, match=r"ready\(\) returned a str, expected bool"):
        call(ENGINE, "ready()", "data", lambda: "yes", result=bool)


def test_of_nested_calls_the_innermost_is_named() -> None:
    """A plugin that asks another one, through core, in the same thread."""

    def outer() -> object:
        return call(OTHER, "encode()", "data", _hang)

    with pytest.raises(PluginTooSlow, match=r"codec 'y' \(other 2.0\): encode\(\)"):
        call(ENGINE, "plan()", "pure", outer)


def test_each_item_of_a_stream_has_the_limit() -> None:
    """The first ones arrive; the error names the stream."""

    def numbers() -> Iterator[int]:
        yield from (1, 2)
        _hang()

    stream = items(ENGINE, "sessions()", "item", numbers(), int)
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(PluginTooSlow, match=r"sessions\(\) did not return"):
        next(stream)
    with pytest.raises(PluginError, match=r"sessions\(\) yielded a str, expected int"):
        next(items(ENGINE, "sessions()", "data", iter("a"), int))  # type: ignore[arg-type]


def test_core_itself_is_not_limited() -> None:
    """Only calls into plugins are; errors of core stay what they are."""
    assert together(ENGINE, lambda: time.sleep(0.5) or 1) == 1
    with pytest.raises(ZeroDivisionError):
        together(ENGINE, lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        call(Owner("launcher", "local", "tokenbench", "1"), "start()", "pure", lambda: 1 // 0)


def test_calls_of_other_threads_are_limited_too() -> None:
    """As in the thread that reads counters during a repeat."""
    found: list[BaseException] = []

    def scrape() -> None:
        try:
            call(ENGINE, "counters()", "pure", _hang)
        except PluginError as error:
            found.append(error)

    thread = threading.Thread(target=scrape)
    thread.start()
    thread.join()
    assert "counters() did not return" in str(found[0])


def test_a_call_may_have_a_multiple_of_its_limit() -> None:
    """The message has the limit that held; the hint allows ten times that of the kind."""
    limit = limit_s("pure")
    slow = 2 * limit
    assert call(ENGINE, "ready()", "pure", lambda: time.sleep(slow) or 1, times=8.0) == 1
    with pytest.raises(PluginTooSlow) as caught:
        call(ENGINE, "ready()", "pure", _hang, times=0.5)
    assert f"within {limit / 2:g} s" in str(caught.value)
    assert f"pure={10 * limit:g}" in str(caught.value.hint)


def test_prints_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output has results only."""
    call(ENGINE, "plan()", "data", lambda: print("noise"))
    print("result")
    out, err = capsys.readouterr()
    assert (out, err) == ("result\n", "noise\n")
    assert sys.stdout is not sys.stderr


def test_an_interruption_ends_a_call_that_hangs() -> None:
    """After a moment; what stops processes may still take its time."""
    guard.interrupt()
    try:
        with pytest.raises(Interrupted, match=r"waiting for engine 'x' \(dist 1.0\): load\(\)"):
            call(ENGINE, "load()", "data", _hang)
        with pytest.raises(PluginTooSlow):
            call(ENGINE, "cancel()", "stop", _hang)
    finally:
        guard.resume()


@pytest.mark.parametrize("text", ["x=1", "server", "server=0", "server=nan", "all=-1"])
def test_an_invalid_limit_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """With the kinds of calls."""
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(UsageError, match=VARIABLE) as caught:
        limit_s("server")
    assert "server" in caught.value.hint
