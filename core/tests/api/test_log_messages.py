"""What a log says, by a file of messages."""

from __future__ import annotations

import inspect
import itertools
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tokenbench.api import Diagnosis, LogMessages

_MESSAGES = r"""
[names.port]
pattern = '''port (\d+)|--port=(\d+)'''
default = "8000"

[[cause]]
pattern = '''^(\S+): in use$'''
cause = "{0} is in use, port {port}"
hint = "end what uses {0}"

[[cause]]
pattern = '''^(\w+Error): (?!echo)(.+)$'''
cause = "failed with {0}: {1}"

[[cause]]
pattern = '''^late (.*)$'''
cause = "late: {0}"
last = true

[[phase]]
pattern = '''loading (\d+)%'''
says = "loading weights {0} %"

[[phase]]
pattern = '''compiling'''
says = "compiling"
"""


@pytest.fixture
def messages(tmp_path: Path, monkeypatch) -> Callable[[str], LogMessages]:
    """The messages of a package with such a file."""
    made = 0

    def make(text: str) -> LogMessages:
        nonlocal made
        made += 1
        package = f"package_of_messages_{tmp_path.name}_{made}"
        folder = tmp_path / package
        folder.mkdir()
        (folder / "__init__.py").touch()
        (folder / "messages.toml").write_text(text, encoding="utf-8")
        return LogMessages(package)

    monkeypatch.syspath_prepend(tmp_path)
    return make


def test_the_first_rule_that_matches_is_the_cause(messages) -> None:
    """In the order of the file, not of the log; names take the first group that is found."""
    found = messages(_MESSAGES)
    log = "start --port=81\nOddError: echo of another\nOddError: broken\nsocket: in use\n"
    assert found.diagnose(log) == Diagnosis(
        cause="socket is in use, port 81", hint="end what uses socket"
    )
    assert found.diagnose("socket: in use").cause == "socket is in use, port 8000"
    without = log.replace("socket: in use\n", "")
    assert found.diagnose(without) == Diagnosis(cause="failed with OddError: broken")
    assert found.diagnose("late one\nlate two\n").cause == "late: two"
    assert found.diagnose("") is None and found.diagnose("all is well") is None


def test_the_example_of_the_documentation(messages) -> None:
    """It is a file that works."""
    documented = (inspect.getdoc(LogMessages) or "").partition("Example::\n\n")[2]
    lines = itertools.takewhile(lambda at: not at or at[0] == " ", documented.splitlines())
    found = messages(textwrap.dedent("\n".join(lines)))
    log = "listening on 81\nLoading weights:  45%\naddress already in use\n"
    assert found.diagnose(log).cause == "the port 81 is already in use"
    assert found.phase(log) == "loading weights 45 %"


def test_what_is_said_is_short(messages) -> None:
    """A message may quote a whole configuration; braces in a log are no places to fill."""
    cause = messages(_MESSAGES).diagnose("AnyError: {port} " + "x" * 1000).cause
    assert cause.startswith("failed with AnyError: {port} xxx")
    assert len(cause) == 300 and cause.endswith("...")


def test_the_latest_message_is_the_phase(messages) -> None:
    """Wherever it stands in the file."""
    found = messages(_MESSAGES)
    assert found.phase("loading 10%\nloading 45%\n") == "loading weights 45 %"
    assert found.phase("loading 45%\ncompiling\n") == "compiling"
    assert found.phase("compiling\nloading 45%\n") == "loading weights 45 %"
    assert found.phase("") is None
    found = messages("[[phase]]\npattern = '(loading)|warm'\nsays = 'warm {0}'\n")
    assert found.phase("loading\nwarm\n") == "warm "
    found = messages("[[phase]]\npattern = 'x(.*)'\nsays = '{0}'\n")
    assert len(str(found.phase("x" * 9999))) == 300


def test_a_file_that_is_no_text_is_named(messages, tmp_path: Path) -> None:
    """With its package, as other wrong files."""
    found = messages("")
    (file,) = tmp_path.glob("*/messages.toml")
    file.write_bytes(b"\xff")
    with pytest.raises(ValueError, match=rf"messages\.toml of {found.package}: .*utf-8"):
        found.diagnose("")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[cause]\n", "line 1"),
        ("[[causes]]\n", "causes"),
        ("[[cause]]\npattern = 'x'\n", "cause"),
        ("[[cause]]\npattern = '('\ncause = 'c'\n", "unterminated"),
        ("[[cause]]\npattern = 'x'\ncause = '{0}'\n", "x: "),
        ("[[cause]]\npattern = '(x)'\ncause = '{port}'\n", "port"),
        ("[[cause]]\npattern = '(x)'\ncause = 'c'\nhint = '{'\n", "messages.toml of "),
        ("[[phase]]\npattern = 'x'\nsays = '{1}'\n", "x: "),
        ("[[cause]]\npattern = '(x)'\ncause = '{0.real}'\n", "x"),
        ("[[cause]]\npattern = '(x)'\ncause = '{0[a]}'\n", "x"),
    ],
)
def test_a_wrong_file_is_named_with_the_place(messages, text: str, says: str) -> None:
    """At the first question, whatever the log has: the author sees it, not the first user."""
    found = messages(text)
    for ask in (found.diagnose, found.phase):
        with pytest.raises(ValueError, match=rf"messages\.toml of {found.package}: .*") as caught:
            ask("")
        assert says in str(caught.value)
