"""How the death of an engine's process is told, with real processes of the local launcher."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tokenbench.api import Deployment, LauncherContext, LaunchPlan, ProcessSpec, Resources
from tokenbench.launch.local import LocalLauncher
from tokenbench.run.death import Death, death_of

Die = Callable[..., Death]


@pytest.fixture
def die(tmp_path: Path) -> Iterator[Die]:
    """Runs processes, each a piece of Python, until one has ended."""
    started: list[Deployment] = []

    def run(dead: int = 1, **code: str) -> Death:
        replicas = {role: text.count("#replicas") + 1 for role, text in code.items()}
        processes = tuple(
            ProcessSpec(
                role=role, argv=(sys.executable, "-c", text, "{scratch}"), replicas=replicas[role]
            )
            for role, text in code.items()
        )
        launcher = LocalLauncher(LauncherContext(logs=tmp_path))
        allocation = launcher.allocate(Resources(processes=processes))
        started.append(launcher.start(LaunchPlan(processes=processes, endpoints=()), allocation))
        deadline = time.monotonic() + 20
        while sum(s.exit_code is not None for s in started[-1].status()) < dead:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        death = death_of(started[-1], tmp_path)
        assert death is not None
        return death

    yield run
    for one in started:
        one.cancel()


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


def test_the_error_names_the_whole_log(die: Die, tmp_path: Path) -> None:
    """The file of that process."""
    error = die(server="raise SystemExit(3)", other=LIVES).error("the engine died")
    assert error.message == "the engine died: server-0 ended with exit code 3: its log is empty"
    assert error.log == tmp_path / "server-0.log"
