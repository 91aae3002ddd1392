"""Folders, streams, limits and signals around a run change nothing, or the run ends cleanly."""

from __future__ import annotations

import ast
import json
import os
import pty
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests_bench import Bench, measured, wait_for

from tokenbench.cli import streams

CLI = Path(streams.__file__).parent
PROGRAM = Path(sys.executable).with_name("bench")
ENGINE = ("run", "--engine", "scripted", "--allow-invalid")
QUICK = ("--workload", "random:input_tokens=8,output_tokens=8")
SHORT = (*ENGINE, *QUICK, "--requests", "4")
SHADOWS = ("queue", "token", "json", "selectors", "msgspec", "click")
# The script that pip writes for `bench` imports these before anything of ours.
EARLY = ("types", "re", "tokenbench")


def _state(bench: Any) -> str:
    found: str = json.loads((bench.run_directory / "run.json").read_text())["state"]
    return found


def _program(bench: Any, *args: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """`bench` as installed; `python -m` would put the current folder first."""
    options = {"cwd": bench.folder, "env": bench.environment(), "timeout": 60}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    options |= {**streams, **more}
    return subprocess.run([str(PROGRAM), *args], text=True, check=False, **options)


def _shadow(folder: Path, *more: str) -> None:
    for name in (*SHADOWS, *more):
        (folder / f"{name}.py").write_text("raise SystemExit('mine')\n")


def test_ordinary_surroundings(bench) -> None:
    """All at once: files named like modules in a current folder whose name is not valid UTF-8, an
    empty entry in PYTHONPATH, plugins that print, a low soft limit of files, no locale, no home,
    TMPDIR missing. The run measures, and standard output has the report alone.
    """
    folder = bench.folder / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    _shadow(folder)
    strange = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    strange |= {"HOME": "/proc/none", "XDG_STATE_HOME": "", "XDG_CACHE_HOME": ""}
    strange |= {"TMPDIR": "/proc/none", "TOKENBENCH_TEST_PRINT": "1"}
    environment = bench.environment(**strange)
    environment["PYTHONPATH"] += os.pathsep
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    done = _program(
        bench,
        *("run", "--engine", "scripted:codec=scripted-lines", "--allow-invalid", *QUICK),
        *("--concurrency", "80", "--requests", "80", "--eval", "demo:limit=2", "--no-canaries"),
        cwd=folder,
        env=environment,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (72, hard)),
    )
    assert done.returncode == 0, done.stderr
    (run,) = (folder / "runs").iterdir()
    (result,) = map(json.loads, (run / "results.jsonl").read_text().splitlines())
    checks = {check["name"]: check for check in result["checks"]}
    assert (result["state"], checks["failures"]["value"]) == ("done", 0.0), checks["failures"]
    assert "prints" in done.stderr and "prints" not in done.stdout
    assert done.stdout.strip().endswith(f"run directory: runs/{run.name}")


def test_machine_readable_output_is_clean(bench) -> None:
    """JSON alone on standard output, although plugins and their children print."""
    _shadow(bench.folder, *EARLY)
    for args in (("plan", "--engine", "scripted", "--json"), ("plugins", "list", "--json")):
        done = _program(bench, *args, env=bench.environment(TOKENBENCH_TEST_PRINT="1"))
        assert done.returncode == 0, done.stderr
        json.loads(done.stdout)
    assert (
        "a child of a plugin prints"
        in _program(
            bench,
            *("plan", "--engine", "scripted", "--json"),
            env=bench.environment(TOKENBENCH_TEST_PRINT="1"),
        ).stderr
    )


def test_commands_print_with_echo() -> None:
    """What they print otherwise would go to standard error, with what plugins print."""
    found = []
    for file in CLI.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in {"click.echo", "print"}:
                words = {keyword.arg for keyword in node.keywords}
                if not words & {"err", "file"}:
                    found.append(f"{file.name}:{node.lineno}")
    assert not found


CLOSED = {"stdin": "<&-", "stdout": ">&-", "stderr": "2>&-"}


@pytest.mark.parametrize("stream", CLOSED)
def test_closed_stream(bench, stream: str) -> None:
    """The other streams work as ever."""
    command = f"'{PROGRAM}' metrics tpot_s.p50 {CLOSED[stream]}; echo code $? >&2"
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, env=bench.environment(), check=False
    )
    if stream == "stderr":
        assert "tpot_s.p50" in done.stdout
    else:
        assert done.stderr == "code 0\n"
    assert ("tpot_s.p50" in done.stdout) is (stream != "stdout")


def test_all_streams_closed(bench) -> None:
    """A run measures, and no file of the run has output in it that is not its own."""
    command = " ".join(["exec", f"'{PROGRAM}'", *SHORT, *CLOSED.values()])
    done = subprocess.run(
        ["sh", "-c", command], cwd=bench.folder, env=bench.environment(), check=False, timeout=60
    )
    assert (done.returncode, _state(bench)) == (0, "complete")
    assert measured(bench)[0]["state"] == "done"


def test_reader_of_progress_and_report_goes_away(bench) -> None:
    """As with ``2>&1 | head -1``: everything is measured, reported to files, and complete."""
    process = bench.start(*ENGINE, *QUICK, "--requests", "4", "--concurrency", "1,2")
    wait_for(process, "event=")
    for stream in (process.stdout, process.stderr):
        stream.close()
    assert process.wait(60) == 0
    assert _state(bench) == "complete"
    assert [result["state"] for result in measured(bench)] == ["done", "done"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_full_disk_behind_standard_output(bench) -> None:
    """It is an error of its own; behind standard error it is none."""
    with Path("/dev/full").open("w") as full:
        done = _program(bench, "metrics", stdout=full)
        assert done.returncode == 1
        lines = done.stderr.splitlines()
        assert lines[0] == "error: cannot write to standard output: No space left on device"
        assert lines[1].startswith("hint: ") and len(lines) == 2
        assert _program(bench, "plan", "--engine", "nothing", stderr=full).returncode == 2


@pytest.mark.parametrize(
    ("name", "colours", "escapes"),
    [("NO_COLOR=1", False, False), ("TERM=dumb", False, False), ("TERM=xterm", True, True)],
)
def test_terminal(bench, name: str, colours: bool, escapes: bool, finished: Path) -> None:
    """On a terminal with colours the report has some; with NO_COLOR none, with TERM=dumb no escape
    of any command.
    """
    key, _, value = name.partition("=")
    environment = bench.environment(**{"TERM": "xterm", key: value})
    environment.pop("NO_COLOR", None) if key != "NO_COLOR" else None
    commands: list[tuple[str, ...]] = [("report", str(finished)), ("plan", "--engine", "scripted")]
    if name == "TERM=dumb":
        commands += [("plan", "--engine", "nothing"), ("plugins", "list"), ("run", "--help")]
    said = b"".join(_on_a_terminal(bench.folder, environment, args) for args in commands)
    assert b"c1" in said
    assert (b"\x1b[3" in said, b"\x1b" in said) == (colours, escapes)


def _on_a_terminal(folder: Path, environment: dict[str, str], args: tuple[str, ...]) -> bytes:
    master, slave = pty.openpty()
    command = [str(PROGRAM), *args]
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    said = b""
    try:
        while data := os.read(master, 65536):
            said += data
    except OSError:  # The other end is closed.
        pass
    process.wait(30)
    os.close(master)
    return said


def test_runs_folder_that_is_not_utf8(bench) -> None:
    """Exit code 2, and no folder is created."""
    done = _program(bench, *SHORT, "--runs", os.fsdecode(b"caf\xe9"))
    assert done.returncode == 2
    assert "the name of the runs folder is not valid UTF-8" in done.stderr
    assert not list(bench.folder.iterdir())


def test_deleted_current_folder(bench) -> None:
    """With a runs folder elsewhere it changes nothing; without, the error names the cause."""
    gone = bench.folder / "gone"
    text = f"mkdir '{gone}'; cd '{gone}'; rmdir '{gone}'; exec '{PROGRAM}' {' '.join(SHORT)}"
    options: dict[str, Any] = {"env": bench.environment(), "capture_output": True}
    done = subprocess.run(["sh", "-c", text], text=True, check=False, **options)
    assert done.returncode == 1
    assert "its folder was deleted" in done.stderr.splitlines()[-2], done.stderr
    text += f" --runs '{bench.folder / 'runs'}'"
    done = subprocess.run(["sh", "-c", text], text=True, check=False, **options)
    assert (done.returncode, _state(bench)) == (0, "complete"), done.stderr


def test_deleted_run_directory(bench) -> None:
    """The error says so; the points measured before and the state are written again."""
    process = bench.start(*ENGINE, *QUICK, "--requests", "4", "--concurrency", "1,2,3")
    wait_for(process, "event=point ")
    # At once: a folder in which files are made meanwhile cannot be removed.
    shutil.rmtree(bench.run_directory.rename(bench.folder / "gone"))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert "its folder was deleted" in err.splitlines()[-2]
    assert "a bug in bench" not in err
    assert _state(bench) == "failed"
    assert measured(bench)[0]["level"]["concurrency"] == 1


def test_too_few_open_files(bench) -> None:
    """The error says how many the concurrency needs; nothing is started."""
    low = (64, 64)
    done = _program(
        bench,
        *(*SHORT, "--concurrency", "100"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, low),
    )
    assert done.returncode == 1
    error, hint = done.stderr.splitlines()[-2:]
    assert error.startswith("error: concurrency 100 needs 124 open files"), done.stderr
    assert "ulimit -n 124" in hint
    assert not (bench.folder / "runs").exists()


def _small_disk(folder: Path) -> list[str]:
    """A command prefix that mounts a disk of 300 KB on a folder, in a namespace of its own."""
    mount = f"mount -t tmpfs -o size=300k tmpfs '{folder}'"
    prefix = ["unshare", "-rm", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*prefix, mount], check=False).returncode:
        pytest.skip("this machine lets no one mount")
    return [*prefix, f'{mount} && "$@"; code=$?; cat runs/*/run.json; exit $code', "sh"]


def test_disk_that_fills_up(bench) -> None:
    """Exit code 1; run.json has the final state even then."""
    (bench.folder / "runs").mkdir()
    prefix = _small_disk(bench.folder / "runs")
    args = (*ENGINE, *QUICK, "--concurrency", "8", "--requests", "2000")
    done = subprocess.run(
        [*prefix, str(PROGRAM), *args],
        cwd=bench.folder,
        env=bench.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.splitlines()[-2].startswith("error: the disk is full"), done.stderr
    state = json.loads(done.stdout[done.stdout.index("{") :])
    assert (state["state"], "disk is full" in state["error"]) == ("failed", True)


@pytest.mark.parametrize(
    ("raised", "code", "state", "message"),
    [
        ("RuntimeError('odd')", 1, "failed", "this is a bug in bench: RuntimeError: odd"),
        ("BrokenPipeError('odd')", 1, "failed", "this is a bug in bench: RuntimeError: a pipe"),
        ("SystemExit(0)", 3, "failed", "a plugin ended the program with exit code 0"),
        ("KeyboardInterrupt", 130, "interrupted", "interrupted at once"),
        ("OSError(24, 'Too many open files')", 1, "failed", "too many open files"),
    ],
)
def test_unexpected_end(bench, raised: str, code: int, state: str, message: str) -> None:
    """Whatever is raised in a run: a final state, and an error of two lines."""
    program = (
        "import sys; from tokenbench.cli.main import main; from tokenbench.run import deployment\n"
        f"def fail(self): raise {raised}\n"
        "deployment.DeploymentRun.run = fail; main(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, *SHORT],
        cwd=bench.folder,
        env=bench.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stderr.splitlines()
    assert (done.returncode, _state(bench)) == (code, state), done.stderr
    assert message in lines[-2] and lines[-1].startswith("hint: ")


def test_second_ctrl_c(bench) -> None:
    """It ends the run at once, with a final state."""
    script = "scripted:script='--never-ready'"
    process = bench.start("run", "--engine", script, *QUICK, "--requests", "4")
    wait_for(process, "starting the server")
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "error: interrupted" in err
    assert _state(bench) == "interrupted"


def test_ctrl_c_while_prompts_are_made(bench) -> None:
    """Thousands of long prompts are prepared before the load starts; it is heard meanwhile."""
    load = ("--workload", "random:input_tokens=4000,output_tokens=8", "--concurrency", "4000")
    process = bench.start(*ENGINE, *load)
    wait_for(process, "event=measuring")
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, _state(bench)) == (130, "interrupted"), err
    assert time.monotonic() - begun < 30


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a complete run with two points and an eval."""
    made = Bench(tmp_path_factory.mktemp("finished"), "finished")
    done = _program(made, *SHORT, "--concurrency", "1,2", "--eval", "demo:limit=2", "--no-canaries")
    assert done.returncode == 0, done.stderr
    return made.run_directory


def _two_thirds(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(_two_thirds(file.read_bytes().rstrip())),
    "a list": lambda file: file.write_bytes(b"[1]\n"),
    "not JSON": lambda file: file.write_bytes(b"\x00\xff\x80"),
}
FILES = ("suite.json", "run.json", "provenance.json", "results.jsonl", "outcome.json")


@pytest.mark.parametrize("damage", DAMAGES)
def test_report_of_a_damaged_run(cli, finished: Path, tmp_path: Path, damage: str) -> None:
    """Whatever file is damaged: an error of two lines, or a report that says what is missing."""
    for name in FILES:
        run = tmp_path / name / "run"
        shutil.copytree(finished, run)
        shutil.rmtree(run / "reports")
        (file,) = run.rglob(name)
        DAMAGES[damage](file)
        done = cli("report", str(run))
        if done.code:
            assert "a bug in bench" not in done.err
            assert done.code == 2 and done.complaint, (name, done)
        else:
            told = name == "outcome.json" and damage == "missing"
            assert told or f"{name} is damaged" in done.out, (name, done)
