"""How the death of an engine's process is told, with real processes of the local launcher."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tokenbench.api import (
    Allocation,
    Diagnosis,
    Engine,
    EngineRequest,
    Host,
    Launcher,
    LaunchPlan,
    PluginError,
    ProcessSpec,
    Resources,
)
from tokenbench.launch.deployment import Deployment
from tokenbench.launch.local import LocalLauncher
from tokenbench.launch.settings import LaunchSettings
from tokenbench.run.death import Death, death_of


class Silent(Engine):
    """Says nothing about its logs."""

    def plan(self, request: EngineRequest) -> LaunchPlan:
        raise NotImplementedError


class Knowing(Silent):
    """Knows one failure, however far up in the log it is."""

    def diagnose(self, log: str) -> Diagnosis | None:
        if "no room" not in log:
            return None
        return Diagnosis(cause="the model does not fit", hint="use a smaller one")


class Failing(Silent):
    """A plugin with a fault, as the guard reports it."""

    def diagnose(self, log: str) -> Diagnosis | None:
        raise PluginError("engine: diagnose() raised KeyError", hint="report it")


Die = Callable[..., Death]


@pytest.fixture
def die(tmp_path: Path) -> Iterator[Die]:
    """Runs processes, each a piece of Python, until one has ended."""
    started: list[Deployment] = []

    def run(dead: int = 1, *, engine: Engine | None = None, **code: str) -> Death:
        replicas = {role: text.count("#replicas") + 1 for role, text in code.items()}
        processes = tuple(
            ProcessSpec(
                role=role, argv=(sys.executable, "-c", text, "{scratch}"), replicas=replicas[role]
            )
            for role, text in code.items()
        )
        launcher = LocalLauncher()
        plan = LaunchPlan(processes=processes, endpoints=())
        started.append(Deployment(launcher, plan, LaunchSettings(logs=tmp_path)))
        started[-1].start()
        deadline = time.monotonic() + 20
        while sum(s.exit_code is not None for s in started[-1].states()) < dead:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        death = death_of(started[-1], engine or Silent())
        assert death is not None
        return death

    yield run
    for one in started:
        one.stop()


LIVES = "import time; time.sleep(60)"


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGABRT"])
def test_a_signal_is_named(die: Die, name: str) -> None:
    """SIGKILL hints at the memory: the kernel does not write into the log of what it kills."""
    death = die(server=f"import os, signal; os.kill(os.getpid(), signal.{name})")
    assert str(death) == f"server-0 was killed by {name}: its log is empty"
    assert ("out of memory" in death.hint) == (name == "SIGKILL")


def test_the_replica_that_died_is_named_and_its_log_shown(die: Die, tmp_path: Path) -> None:
    """Not the log of the replica beside it, which has errors too."""
    code = (
        "import sys, time\n"
        "if sys.argv[1][-1] == '0': print('ValueError: of another', flush=True); time.sleep(60)\n"
        "raise RuntimeError('no heads') #replicas"
    )
    death = die(decode=code)
    assert str(death) == "decode-1 ended with exit code 1: RuntimeError: no heads"
    assert death.log == tmp_path / "decode-1.log"
    assert "no heads" in death.log.read_text()


def test_the_process_that_failed_comes_before_one_that_ended(die: Die) -> None:
    """A frontend that ends in order because its backend died is not the cause."""
    death = die(2, frontend="print('bye')", backend="import sys; sys.exit('fatal: no device')")
    assert str(death) == "backend-0 ended with exit code 1: fatal: no device"


def test_the_engine_explains_its_log(die: Die) -> None:
    """Also a cause that lies above what an excerpt is made of; of others, the excerpt."""
    code = "print('ERROR: no room', *600 * ['noise'], sep='\\n', flush=True); raise KeyError(1)"
    error = die(server=code, engine=Knowing()).error("dead")
    assert error.message == "dead: server-0 ended with exit code 1: the model does not fit"
    assert error.hint == "use a smaller one"
    other = die(other="raise KeyError('x')", engine=Knowing())
    assert str(other).endswith("KeyError: 'x'") and other.hint == "see its log"


def test_a_faulty_diagnosis_hides_nothing(die: Die) -> None:
    """The excerpt of the log stands for it."""
    death = die(server="raise KeyError('x')", engine=Failing())
    assert str(death) == "server-0 ended with exit code 1: KeyError: 'x'"


def test_the_error_names_the_whole_log(die: Die, tmp_path: Path) -> None:
    """The file of that process."""
    error = die(server="raise SystemExit(3)", other=LIVES).error("the engine died")
    assert error.message == "the engine died: server-0 ended with exit code 3: its log is empty"
    assert error.log == tmp_path / "server-0.log"


def test_a_killed_process_comes_before_one_that_failed(die: Die) -> None:
    """The kernel kills a rank for want of memory; the others fail, because it is gone."""
    death = die(
        2,
        leader="import sys; sys.exit('RuntimeError: a rank is gone')",
        worker="import os; os.kill(os.getpid(), 9)",
    )
    assert str(death) == "worker-0 was killed by SIGKILL: its log is empty"


class TwoHosts(Launcher):
    """This machine, twice."""

    def allocate(self, resources: Resources) -> Allocation:
        hosts = [
            Host(name=name, address=address, python=sys.executable)
            for name, address in (("n1", "127.0.0.2"), ("n2", "127.0.0.3"))
        ]
        return Allocation(id="two", hosts=tuple(hosts))

    def channel(self, host: Host, argv: Sequence[str]) -> Sequence[str]:
        return argv


def test_a_lost_host_is_the_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not the rank elsewhere that noticed it, although its end is known earlier."""
    monkeypatch.setattr("tokenbench.run.death._LOST_S", 30.0)
    spec = ProcessSpec(argv=("sh", "-c", "sleep $((60 * {rank})); exit 1"), ranks=2)
    plan = LaunchPlan(processes=(spec,), endpoints=())
    deployment = Deployment(TwoHosts(), plan, LaunchSettings(logs=tmp_path))
    try:
        deployment.start()
        while not deployment.states()[0].ended:
            time.sleep(0.02)
        pid = deployment._agents["n2"].facts["pid"]
        timer = threading.Timer(0.3, os.kill, (pid, signal.SIGKILL))
        timer.start()
        death = death_of(deployment, Silent())
        timer.join()
    finally:
        deployment.stop()
    assert str(death) == (
        "server-0-1 on n2 cannot be reached any more: the agent on n2 was killed by signal 9"
    )
