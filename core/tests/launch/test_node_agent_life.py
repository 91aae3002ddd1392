"""Samplers of the node agent that fail, its channel, and what it leaves behind: nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tokenbench.api import PluginError
from tokenbench.launch.node import client
from tokenbench.launch.node.client import AgentError, AgentGone, AgentLate, Events, NodeAgent
from tokenbench.launch.node.program import RunningProgram

from .node_agents import PROGRAM, Alone, Heard, runs, wait

GREETINGS = (
    b"Last login: Mon Nov 30 18:06:02 2026\n* * authorized use only * *\n\n",
    b"no line end at all: ",
    b'{"id": "text", "result": 1}\n[1, 2]\nnull\n{"sample": "x", "s": []}\n{"ended": "x"}\n',
    bytes(range(256)) * 2,
    b"",
)


# -- samplers --------------------------------------------------------------------------------------


def test_readings_come_at_the_interval(
    program: Callable[..., RunningProgram], tmp_path: Path
) -> None:
    """With the time of both clocks. `stop()` closes the sampler, and its end is told."""
    heard, closed = Heard(), tmp_path / "closed"
    running = program(closed=str(closed))
    before = time.monotonic_ns(), time.time_ns()
    running.start((0, 3), 0.05, heard.events)
    readings = [heard.readings.get(timeout=5) for _ in range(5)]
    running.stop()
    assert heard.ends.get(timeout=5) == (0, None)
    assert closed.read_text() == "closed\n"
    assert [r["s"][1] for r in readings[:2]] == [
        {"device": 3, "power_w": 101.0},
        {"device": 3, "power_w": 102.0},
    ]
    times = [r["t"] for r in readings]
    assert before[0] < times[0] and before[1] < readings[0]["w"]
    # Four intervals; after a late first one, the next is short.
    assert (times[-1] - times[0]) / 1e9 >= 3 * 0.05 - 0.01


def test_a_host_where_nothing_can_be_read(program: Callable[..., RunningProgram]) -> None:
    """Its sampler is None: an end without an error."""
    heard = Heard()
    program(blind=True).start((0,), 0.05, heard.events)
    assert heard.ends.get(timeout=5) == (0, None)
    assert heard.readings.empty()


@pytest.mark.parametrize(
    ("how", "code", "said"),
    [
        ("raise", 1, "OSError: libacme.so: cannot open shared object file"),
        ("exit", 7, "it ended with code 7"),
        ("sys.exit", 1, "SystemExit: enough"),
        ("interrupt", 1, "KeyboardInterrupt"),
        ("kill", 137, "it was killed by signal 9"),
        ("segfault", 139, "it was killed by signal 11"),
    ],
)
@pytest.mark.parametrize("where", ["sampler", "sample", "close"])
def test_a_sampler_that_fails(
    program: Callable[..., RunningProgram],
    agent: NodeAgent,
    where: str,
    how: str,
    code: int,
    said: str,
) -> None:
    """At the start, in the middle or at the end: code and reason are told, what was read is kept,
    and the agent is well.
    """
    heard = Heard()
    running = program(**{where: how})
    running.start((0,), 0.01, heard.events)
    if where == "close":
        heard.readings.get(timeout=5)
        running.stop()
    assert heard.ends.get(timeout=5) == (code, said)
    if where == "sample":
        assert heard.readings.qsize() == 3
    assert agent.ask("clock")
    again = Heard()
    program().start((0,), 0.01, again.events)
    assert again.readings.get(timeout=5)["s"]


@pytest.mark.parametrize("how", ["hang", "stubborn", "read input"])
def test_a_sampler_that_hangs(
    program: Callable[..., RunningProgram], agent: NodeAgent, started: Any, how: str
) -> None:
    """The agent still answers, and probes; `close()` ends within seconds and leaves no process."""
    heard = Heard()
    program(sample=how).start((0,), 0.01, heard.events)
    for _ in range(3):
        heard.readings.get(timeout=5)
    assert agent.ask("clock", limit_s=2)
    assert len(program().probe().devices) == 1
    begun = time.monotonic()
    agent.close()
    assert time.monotonic() - begun < 6
    assert started() == []


def test_a_stopped_sampler_that_hangs_is_killed(program: Callable[..., RunningProgram]) -> None:
    """After 2 s; others do not wait for it."""
    heard, other = Heard(), Heard()
    running = program(close="hang")
    running.start((0,), 0.01, heard.events)
    heard.readings.get(timeout=5)
    begun = time.monotonic()
    running.stop()
    assert time.monotonic() - begun < 1
    assert heard.ends.get(timeout=8) == (137, "it was killed by signal 9")
    program().start((0,), 0.01, other.events)
    assert other.readings.get(timeout=5)


def test_a_reading_that_is_no_json(program: Callable[..., RunningProgram]) -> None:
    """A failure of the sampler, with the reason."""
    for reading, said in {
        "object()": "TypeError: Object of type object is not JSON serializable",
        "[{'device': 0, 'power_w': float('inf')}]": "ValueError: Out of range float values are not",
    }.items():
        heard = Heard()
        program(reading=reading).start((0,), 0.01, heard.events)
        code, text = heard.ends.get(timeout=5)
        assert code == 1
        assert (text or "").startswith(said)


def test_a_busy_listener_loses_nothing(program: Callable[..., RunningProgram]) -> None:
    """Readings that come faster than they are taken wait in the pipe."""
    heard = Heard()

    def slow(message: dict[str, Any]) -> None:
        time.sleep(0.005)
        heard.readings.put(message)

    running = program()
    running.start((0,), 0.0, Events(reading=slow, ended=heard.events.ended))
    values = [heard.readings.get(timeout=5)["s"][0]["power_w"] for _ in range(200)]
    assert values == [101.0 + n for n in range(200)]


# -- the end ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("helper", ["", "attached", "detached"])
@pytest.mark.parametrize("how", ["", "hang", "stubborn"])
def test_nothing_is_left_when_the_channel_ends(
    alone: Callable[..., Alone], started: Any, how: str, helper: str
) -> None:
    """No process, also none of its samplers' own, and no folder; whatever the sampler does."""
    one = alone()
    one.sample(sample=how, helper=helper)
    if how:
        time.sleep(0.2)
    assert [name.startswith("bench-node-") for name in one.folders] == [True]
    one.close_input()
    assert one.process.wait(4) == 0
    assert one.folders == []
    assert wait(lambda: started() == [])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_nothing_is_left_when_the_agent_is_ended(
    alone: Callable[..., Alone], started: Any, number: int
) -> None:
    """By any signal that asks; also when it is asked twice."""
    one = alone()
    one.sample(sample="hang")
    one.process.send_signal(number)
    time.sleep(0.3)
    one.process.send_signal(number)
    assert one.process.wait(4) == 0
    assert one.folders == []
    assert wait(lambda: started() == [])


def test_the_samplers_of_a_killed_agent_end(alone: Callable[..., Alone], started: Any) -> None:
    """The kernel ends them; what is left is a folder."""
    one = alone()
    pid = one.sample(sample="stubborn")
    time.sleep(0.2)
    assert runs(pid)
    one.process.kill()
    one.process.wait()
    assert wait(lambda: started() == [])


def test_a_killed_agent_is_told(
    program: Callable[..., RunningProgram], agent: NodeAgent, started: Any
) -> None:
    """To its samplers' listeners, and to whoever asks; at once."""
    heard = Heard()
    program().start((0,), 0.01, heard.events)
    heard.readings.get(timeout=5)
    os.kill(agent.facts["pid"], signal.SIGKILL)
    assert heard.ends.get(timeout=5) == (None, None)
    begun = time.monotonic()
    with pytest.raises(AgentGone, match="the agent on localhost was killed by signal 9"):
        agent.ask("clock")
    with pytest.raises(PluginError, match=r"'acme' .*: the agent on localhost was killed"):
        program()
    assert time.monotonic() - begun < 2
    agent.close()
    assert started() == []


def test_a_question_to_an_agent_that_is_killed_meanwhile(agent: NodeAgent) -> None:
    """It does not wait for the time limit."""
    os.kill(agent.facts["pid"], signal.SIGSTOP)
    waiting = subprocess.Popen(["sh", "-c", f"sleep 0.3; kill -9 {agent.facts['pid']}"])
    begun = time.monotonic()
    with pytest.raises(AgentGone, match="was killed by signal 9"):
        agent.ask("clock", limit_s=50)
    assert time.monotonic() - begun < 5
    waiting.wait()


def test_a_halted_agent(agent: NodeAgent, started: Any) -> None:
    """Questions have a limit, however long they are, and it can be closed."""
    os.kill(agent.facts["pid"], signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(AgentLate, match=r"localhost did not answer within 0.3 s"):
        agent.ask("clock", limit_s=0.3)
    with pytest.raises(AgentLate, match=r"localhost did not answer within 0.3 s"):
        agent.ask("program", limit_s=0.3, name="acme", files={"x.py": "#" * 400_000})
    assert time.monotonic() - begun < 2
    agent.close()
    assert time.monotonic() - begun < 8
    assert started() == []


BENCH = """
import sys, time
from tokenbench.guard.owner import Owner
from tokenbench.api import FrozenMap, NodeProgram
from tokenbench.launch.node.client import Events, NodeAgent
from tokenbench.launch.node.program import RunningProgram
agent = NodeAgent()
asked = NodeProgram(module="acme_node", options=FrozenMap(sample=sys.argv[1]))
events = Events(reading=lambda m: print("reading", flush=True), ended=lambda *_: None)
RunningProgram(agent, Owner("hardware", "acme"), asked).start((0,), 0.01, events)
time.sleep(60)
"""


@pytest.mark.parametrize("how", ["", "hang"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_when_bench_ends(
    tmp_path: Path, started: Any, how: str, number: int
) -> None:
    """However it ends."""
    (tmp_path / "acme_node.py").write_text(PROGRAM)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    own = {"PYTHONPATH": str(tmp_path), "TMPDIR": str(temporary)}
    with subprocess.Popen(
        [sys.executable, "-c", BENCH, how], env={**os.environ, **own}, stdout=subprocess.PIPE
    ) as bench:
        assert bench.stdout is not None
        for _ in range(3):
            assert bench.stdout.readline() == b"reading\n"
        assert len(started()) >= 3
        bench.send_signal(number)
        bench.wait()
        assert wait(lambda: started() == [], 8)
    assert list(temporary.iterdir()) == []


# -- the channel -----------------------------------------------------------------------------------


@pytest.mark.parametrize("greeting", GREETINGS, ids=["lines", "no end", "json", "bytes", "none"])
def test_a_greeting_before_the_first_line(tmp_path: Path, greeting: bytes) -> None:
    """What a login shell prints is not taken for the agent's words."""
    (tmp_path / "greeting").write_bytes(greeting)
    begun = time.monotonic()
    shell = f'cat {tmp_path}/greeting; exec "$@"'
    with NodeAgent(channel=lambda argv: ("sh", "-c", shell, "sh", *argv)) as agent:
        assert agent.ask("clock")
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        ("echo 'Permission denied (publickey).' >&2; exit 255", "Permission denied (publickey)."),
        ("printf 'one\n\ntwo \n three' >&2; exit 255", "two | three"),
        ("exit 127", "the agent on n1 ended with code 127"),
        ("kill -9 $$", "the agent on n1 was killed by signal 9"),
        ("exec python3 -c 'raise SystemExit(3)'", "the agent on n1 ended with code 3"),
    ],
)
def test_a_channel_that_does_not_open(tmp_path: Path, channel: str, said: str) -> None:
    """Its last words are the reason, not those of an earlier one."""
    begun = time.monotonic()
    (tmp_path / "log").write_text("an earlier one\n")
    with pytest.raises(AgentError) as caught:
        NodeAgent(host="n1", channel=lambda _: ("sh", "-c", channel), log=tmp_path / "log")
    assert str(caught.value) == said
    assert time.monotonic() - begun < 5


def test_a_channel_that_says_nothing(monkeypatch: pytest.MonkeyPatch, started: Any) -> None:
    """It is given up, and ended."""
    monkeypatch.setattr(client, "_HELLO_S", 0.5)
    with pytest.raises(AgentLate, match=r"n1 did not answer within 0.5 s"):
        NodeAgent(host="n1", channel=lambda _: ("sleep", "60"))
    assert started() == []


def test_files_of_the_current_folder_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file `queue.py` or `json.py` there is not imported."""
    for name in ("json", "ctypes", "select", "tempfile", "shutil"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.chdir(tmp_path)
    with NodeAgent() as agent:
        assert agent.ask("clock")


def test_whether_it_has_the_modules_of_this_process(agent: NodeAgent) -> None:
    """It does here. A container on this machine, or another Python, does not."""
    assert agent.is_here
    for changes in ({"boot": "other"}, {"prefix": "/usr"}):
        agent.facts = {**agent.facts, **changes}
        assert not agent.is_here
        agent.facts = agent.ask("hello")


def test_the_clock_of_this_machine_has_no_offset(agent: NodeAgent) -> None:
    """Not even that of a message's time."""
    assert agent.offset_ns == 0


def test_the_clock_of_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its offset is known to less than a message's time."""
    ask = NodeAgent.ask

    def elsewhere(self: NodeAgent, what: str, **arguments: Any) -> Any:
        found = ask(self, what, **arguments)
        return {**found, "t": found["t"] - 5_000_000_000} if what == "clock" else found

    monkeypatch.setattr(NodeAgent, "ask", elsewhere)
    with NodeAgent() as made:
        assert made.offset_ns == pytest.approx(5_000_000_000, abs=5_000_000)
