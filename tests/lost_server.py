"""A real server that is killed or halted while it starts, loads or serves."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from tests_bench import Bench

_LIMIT_S = 600.0

MOMENTS = pytest.mark.parametrize(
    ("moment", "number", "says"),
    [
        ("starting", signal.SIGKILL, "killed by SIGKILL"),
        ("loading", signal.SIGKILL, "killed by SIGKILL"),
        ("serving", signal.SIGKILL, "killed by SIGKILL"),
        ("serving", signal.SIGSTOP, "halted"),
    ],
    ids=["starting", "loading", "serving", "hangs"],
)
"""When a test loses the server, by which signal, and what the error has to say."""


def server_log(bench: Bench) -> str:
    """What the only server has printed."""
    return "".join(log.read_text() for log in bench.folder.glob("runs/*/logs/*/server-0.log"))


def lose(
    bench: Bench,
    suite: dict[str, Any],
    *,
    find: Callable[[], int | None],
    moment: str,
    loads: str,
    number: signal.Signals,
    says: str,
) -> None:
    """Run the suite and send the signal at that moment. The run ends with exit code 5 and two lines
    that name the process and what happened to it, and nothing is left.

    Args:
        find: the process to lose; None before there is one.
        loads: what the server prints when it begins to load the model.
    """
    (bench.folder / "suite.yaml").write_text(yaml.safe_dump(suite))
    process = bench.start("run", "suite.yaml", "--allow-invalid")
    reached: Callable[[], object] = {
        "starting": lambda: True,
        "loading": lambda: loads in server_log(bench),
        "serving": lambda: list(bench.folder.glob("runs/*/points/*/repeat-0/job-0.json")),
    }[moment]
    deadline = time.monotonic() + _LIMIT_S
    try:
        while (victim := find()) is None or not reached():
            said = server_log(bench)[-3000:]
            assert process.poll() is None and time.monotonic() < deadline, said
            time.sleep(0.1)
        time.sleep(1.0)
        os.kill(victim, number)
        _, err = process.communicate(timeout=300)
    finally:
        process.kill()
        with process:  # closes its pipes
            pass
    assert process.returncode == 5, err
    error, hint = err.strip().splitlines()[-2:]
    assert error.startswith("error: ") and hint.startswith("hint: "), err
    assert "server-0" in err and says in error, err
    assert bench.all_gone(30), bench.left_running()
