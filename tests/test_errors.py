"""Bad input and bad luck: two lines, the right exit code, nothing lost, nothing left running."""

from __future__ import annotations

import json
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests_bench import SUITE, measured, wait_for

REAL = ("--engine", "llamacpp", "--model")
QUICK = ("--workload", "random:input_tokens=8,output_tokens=8", "--duration", "0.3")


def _scripted(script: str, *more: str) -> tuple[str, ...]:
    return ("run", "--engine", f"scripted:script='{script}'", *QUICK, *more)


@pytest.mark.parametrize(
    ("args", "code", "error", "hint"),
    [
        (["plan", "--engine", "llamacp"], 2, "unknown engine 'llamacp'", "mean 'llamacpp'"),
        (["run", "--engine", "llamacpp"], 2, "needs a model", "--model"),
        (["run"], 2, "nothing to run", "--engine"),
        (["run", "nope.yaml"], 2, "cannot read the suite nope.yaml", "path"),
        (["run", "--engine", "scripted:scipt=x"], 2, "unknown option 'scipt'", "mean 'script'"),
        (["run", "--engine", "scripted:dies=maybe"], 2, "expected true or false", "dies:"),
        (["run", "--engine", "scripted:dies"], 2, "expected key=value", "scripted:key=value"),
        (["plan", *REAL, "smolm2"], 2, "unknown model 'smolm2'", "mean 'smollm2'"),
        (["plan", *REAL, "smollm2", "--tp", "2"], 2, "does not support tp=2", "none"),
        (["plan", *REAL, "smollm2", "--precision", "fp4"], 2, "no weights of precision", "q4_1"),
        (["plan", *REAL, "smollm2", "--concurrency", "a"], 2, "expected numbers", "1,2,4,8"),
        (["plan", *REAL, "smollm2", "--concurrency", "0"], 2, "expected at least 1", "--help"),
        (["plan", *REAL, "smollm2", "--workload", "random:input_tokens=9000"], 2, "8192", "short"),
        (["plan", "--engine", "import-error"], 3, "is broken (import)", "--debug"),
        (["plan", "--engine", "no-hook"], 3, "has no bench_register_engines", "hook"),
        (
            ["plan", "--engine", "misspelt"],
            3,
            "bench_register_engine",
            "did you mean bench_register_engines",
        ),
        (["report", "nowhere"], 2, "nowhere is not a run directory", "run.json"),
        (["frobnicate"], 2, "frobnicate", "--help"),
        (["run", "--bogus"], 2, "bogus", "--help"),
    ],
)
def test_usage(cli, tmp_path: Path, args: list[str], code: int, error: str, hint: str) -> None:
    """Each with what was wrong and what to do; no run directory is made."""
    done = cli(*args)
    said = done.complaint
    assert (done.code, error in said[0], hint in said[1]) == (code, True, True), said
    assert not (tmp_path / "runs").exists()


FIND = ("--find", "max-concurrency", "--slo", "ttft<1s")


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (("--burstiness", "1"), "--burstiness: it is the shape of gamma arrivals"),
        (("--rate", "1", "--burstiness", "0.5"), "--burstiness: it is the shape of gamma"),
        (("--trace", "t"), "--trace: replay is an arrival process of open loops"),
        (("--rate", "1", "--trace", "t", "--arrival", "poisson"), "--trace: a trace is replayed"),
        (("--rate", "1", "--trace", ""), "--trace: no file is named"),
        (("--arrival", "poisson"), "--arrival: poisson is an arrival process of open loops"),
        (("--arrival", ""), "--arrival: expected one of constant"),
        (("--rate", "1", "--arrival", "ramp", "--requests", "9"), "--arrival: a ramp needs a dur"),
        (("--from", "2"), "--from: no search"),
        (("--to", "2"), "--to: no search"),
        ((*FIND, "--from", "4", "--to", "2"), "--to: highest (2) is below lowest (4)"),
        ((*FIND, "--concurrency", "4"), "--concurrency: find searches for the load"),
        ((*FIND, "--rate", "4"), "--rate: find searches for the load"),
        (("--slo", ""), "--slo: no objective"),
        (("--hardware", ""), "--hardware: no name"),
        (("--tp", "0"), "--tp: expected between 1 and"),
        (("--concurrency", "-1"), "--concurrency: expected at least 1"),
        (("--requests", "0"), "--requests: expected at least 1"),
        (("--requests", "1" + "0" * 400), "--requests: expected at most 5,000,000"),
        (("--concurrency", "1000000"), "--concurrency: expected at most 64,512"),
        (("--rate", "1e9"), "--rate: expected at most 100,000"),
        (("--rate", "1e-10"), "--rate: expected at least 1.65e-06"),
        (("--duration", "1e12"), "--duration: expected at most 604,800"),
        (("--rate", "1e5", "--duration", "6e5"), "load.rate: 100000 a second for 600000 s"),
    ],
)
def test_loads_that_cannot_be_meant(
    cli, tmp_path: Path, flags: tuple[str, ...], error: str
) -> None:
    """The flag that is wrong is named; no engine is started, no run directory made."""
    (tmp_path / "t").write_text("0\n1\n")
    done = cli("run", "--engine", "scripted", *flags)
    assert (done.code, error in done.complaint[0]) == (2, True), done.err
    assert not (tmp_path / "runs").exists()


def test_flags_over_a_suite_are_told_apart_from_it(cli, tmp_path: Path) -> None:
    """A contradiction has the place of what cannot stay: the line of the suite, or the flag."""
    head = "deployments:\n- engine: scripted\nload:\n"
    (tmp_path / "s.yaml").write_text(head + "  concurrency: [4]\n  repeats: 2\n")
    done = cli("plan", "s.yaml", "--find", "max-rate", "--slo", "ttft<1s")
    assert "s.yaml:4: load.concurrency: find searches for the load" in done.complaint[0]
    done = cli("plan", "s.yaml", "--to", "8")
    assert "--to: no search" in done.complaint[0]
    done = cli("plan", "s.yaml", "--tp", "1")
    assert "--tp cannot be combined" in done.complaint[0]
    (tmp_path / "s.yaml").write_text(
        head + "  rate: [4]\n  arrival: gamma\n  burstiness: 0.5\n  duration_s: 1\n"
    )
    done = cli("plan", "s.yaml", "--arrival", "poisson")
    assert done.code == 0, done.err
    done = cli("plan", "s.yaml", "--arrival", "poisson", "--burstiness", "2")
    assert "--burstiness: it is the shape" in done.complaint[0]


def test_the_ends_of_a_suites_search_can_be_set_by_flag(cli, tmp_path: Path) -> None:
    """Not silently ignored; those of a search of another kind go."""
    (tmp_path / "s.yaml").write_text(
        "deployments: [{engine: scripted}]\n"
        "load: {slo: ttft<1s, find: {what: max-rate, lowest: 2, highest: 64, tolerance: 0.1}}\n"
    )
    for flags, lowest, highest in (
        (("--to", "8"), 2.0, 8.0),
        (("--find", "max-concurrency", "--from", "3"), 3.0, None),
    ):
        done = cli("plan", "s.yaml", *flags, "--json")
        assert done.code == 0, done.err
        find = json.loads(done.out)["suite"]["load"]["find"]
        assert (find["lowest"], find["highest"], find["tolerance"]) == (lowest, highest, 0.1)


@pytest.mark.parametrize(
    ("args", "code", "error"),
    [
        (("engine", "x" * 300), 2, "300 characters are too long"),
        (("engine", "../../x"), 2, "invalid plugin name"),
        (("engine", "lambda"), 2, "reserved in Python"),
        (("engine", "x", "--folder", "y" * 300), 1, "File name too long"),
        (("engine", "x", "--folder", "full"), 2, "full already exists"),
        (("engine", "x", "--folder", "full/file/x"), 1, "Not a directory"),
        (("engine", "x", "--folder", "/proc/x"), 1, "cannot write /proc/x"),
    ],
)
def test_a_new_plugin_that_cannot_be_written(
    cli, tmp_path: Path, args: tuple[str, ...], code: int, error: str
) -> None:
    """Two lines; nothing is left behind, and what was there stays."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("kept")
    done = cli("plugins", "new", *args)
    assert (done.code, error in done.complaint[0]) == (code, True), done.err
    assert len(done.err.splitlines()) == 2
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "full"]


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is an NVIDIA GPU here")
def test_hardware_that_is_not_here(cli) -> None:
    """Exit code 4, and why nothing was found."""
    done = cli("plan", *REAL, "smollm2", "--hardware", "nvidia")
    assert done.code == 4
    assert "no nvidia hardware on this machine" in done.complaint[0]
    assert "nvidia" in done.complaint[1].lower()


@pytest.mark.parametrize(
    ("change", "where", "hint"),
    [
        (
            ("    model: smollm2", "    modle: smollm2"),
            ":5: deployments[0].modle: unknown",
            "model",
        ),
        (("tp: 1", 'tp: "four"'), ':7: deployments[0].topology.tp: expected int, got "four"', ""),
        (("repeats: 1", "repeats: 0"), "repeats: expected at least 1", ""),
        (("version: 1", "version: 99"), ":1: version: this bench reads suites of version 1", ""),
        (("name: try", "name: try\nname: again"), ":3: not valid YAML: the key 'name'", ""),
        (("[1]", "[1"), "not valid YAML", ""),
    ],
)
def test_suite_errors_name_file_line_and_path(
    cli, tmp_path: Path, change, where: str, hint: str
) -> None:
    """``suite.yaml:7: deployments[0].topology.tp: expected int, got "four"``."""
    (tmp_path / "suite.yaml").write_text(SUITE.replace(*change))
    done = cli("run", "suite.yaml")
    error, said = done.complaint
    assert done.code == 2
    assert f"suite.yaml{where}" in error or where in error, error
    assert hint in said


def test_a_taken_port(bench) -> None:
    """Said before the engine is started, with who holds it."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = bench("run", *REAL, "smollm2", *QUICK, "--port", str(port))
    assert done.code == 5
    assert f"port 127.0.0.1:{port} is in use" in done.complaint[0]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("absent-package", "the package 'no-such-package-anywhere' is not installed"),
        ("absent-file", "the weights are missing: /nonexistent/x.gguf"),
        ("short-file", "the weights are corrupt"),
        ("damaged-file", "is not a GGUF file"),
    ],
)
def test_weights_missing_or_corrupt(bench, model: str, said: str) -> None:
    """Missing package, missing file, wrong size, wrong content."""
    file = bench.folder / "weights"
    file.write_bytes(b"no gguf")
    done = bench("run", *REAL, model, *QUICK, TOKENBENCH_TEST_WEIGHTS=str(file))
    assert done.code == 5
    assert said in done.complaint[0]


@pytest.mark.real
def test_truncated_weights_kill_the_real_engine_at_start(bench, weights: Path) -> None:
    """llama.cpp itself refuses a cut file; its words are in the error."""
    file = bench.folder / "cut.gguf"
    file.write_bytes(weights.read_bytes()[: 10 << 20])
    done = bench("run", *REAL, "damaged-file", *QUICK, TOKENBENCH_TEST_WEIGHTS=str(file))
    assert done.code == 5
    assert "the engine 'llamacpp' did not start" in done.complaint[0]


def test_a_server_that_dies_at_start(bench) -> None:
    """Its last words are part of the error."""
    done = bench("run", "--engine", "scripted:dies=true", *QUICK)
    assert done.code == 5
    assert "did not start: server ended with exit code 3" in done.complaint[0]
    assert "out of memory, says the engine" in done.complaint[0]


def test_a_server_that_never_becomes_ready(bench) -> None:
    """The time limit is the engine's, and is named."""
    script = "script='--never-ready',start_timeout_s=1.5"
    done = bench("run", "--engine", f"scripted:{script}", *QUICK)
    assert done.code == 5
    assert "did not become ready within 1.5 s" in done.complaint[0]


def test_a_server_that_dies_in_the_middle_of_a_point(bench) -> None:
    """The run ends with the engine's exit code; the point and its records are kept.

    Every prompt has been refused by the time that its end is told.
    """
    done = bench(*_scripted("--die-after 9 --itl-s 0.02 --die-slowly 0.5", "--duration", "20"))
    assert done.code == 5
    assert "the engine died: server ended with exit code 7" in done.complaint[0]
    (result,) = measured(bench)
    assert (result["state"], result["measurement"]) == ("failed", "invalid")
    assert json.loads((bench.run_directory / "run.json").read_text())["state"] == "failed"
    (records,) = bench.run_directory.glob("points/*/repeat-0/records.parquet")
    assert records.stat().st_size > 0


def test_a_server_that_hangs_without_a_token(bench) -> None:
    """The watchdog ends the point as stalled, the server is started once more, then it is over."""
    suite = """
version: 1
deployments: [{engine: {scripted: {script: "--hang-after 4"}}}]
workloads: [{random: {input_tokens: 8, output_tokens: 8}}]
load: {concurrency: [1, 2, 3], duration_s: 30, warmup_per_concurrency: 0, stall_timeout_s: 1}
reporters: [console]
"""
    (bench.folder / "suite.yaml").write_text(suite)
    done = bench("run", "suite.yaml")
    assert done.code == 5
    assert "stalled again" in done.complaint[0]
    assert [r["state"] for r in measured(bench)] == ["stalled", "stalled"]


def test_disk_full(bench) -> None:
    """A limit on file size stands for a full disk: both end a write in the middle."""
    code = (
        "import resource, sys; from tokenbench.cli.main import main;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000)); main(sys.argv[1:])"
    )
    args = _scripted("--itl-s 0 --ttft-s 0", "--concurrency", "8", "--duration", "3")
    done = subprocess.run(
        [sys.executable, "-c", code, *args],
        cwd=bench.folder,
        env=bench.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    lines = done.stderr.strip().splitlines()
    assert lines[-2].startswith("error: ") and "runs/" in lines[-2], done.stderr
    assert lines[-1].startswith("hint: ")
    drafts = [f for f in bench.run_directory.rglob(".*") if f.is_file()]
    assert not drafts, "a file half-written stayed"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 30_000


STAGES = {
    "starting": ("--ttft-s 3", "starting the server"),
    "warm-up": ("--itl-s 0.3", "phase=warm-up"),
    "repeat": ("--itl-s 0.1", 'phase="repeat 1/1"'),
    "eval": ("--itl-s 0.05", "kind=twin"),
}


@pytest.mark.parametrize("stage", STAGES)
def test_ctrl_c(bench, stage: str) -> None:
    """Exit 130; what was measured is kept; the engine is gone."""
    script, line = STAGES[stage]
    length = "0.3" if stage == "eval" else "30"
    process = bench.start(*_scripted(script, "--duration", length, "--eval", "demo:limit=30"))
    wait_for(process, line)
    time.sleep(0.7)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert "error: interrupted" in err
    assert json.loads((bench.run_directory / "run.json").read_text())["state"] == "interrupted"
    if stage == "repeat":
        assert measured(bench)[0]["state"] == "interrupted"


@pytest.mark.parametrize("stage", STAGES)
def test_kill_9(bench, stage: str) -> None:
    """The supervisors end all that was started; what was written stays readable."""
    script, line = STAGES[stage]
    length = "0.3" if stage == "eval" else "30"
    process = bench.start(*_scripted(script, "--duration", length, "--eval", "demo:limit=30"))
    wait_for(process, line)
    time.sleep(0.7)
    process.kill()
    process.communicate()
    assert bench.all_gone()
    assert json.loads((bench.run_directory / "run.json").read_text())["state"] == "running"
    assert bench("report", str(bench.run_directory), "--reporter", "console").code == 0


def test_an_observer_that_fails_loses_nothing(bench) -> None:
    """It is logged with its name; the run goes on."""
    done = bench(*_scripted("", "--allow-invalid"), TOKENBENCH_TEST_OBSERVER="1")
    assert done.code == 0, done.err
    assert "observer failed" in done.err and "tokenbench_test_plugins" in done.err


def test_a_key_never_shows(bench) -> None:
    """A key in the environment reaches requests only: no file, no output holds it."""
    url = "base_url=http://127.0.0.1:9,model=m,api_key_env=MY_KEY,start_timeout_s=1"
    done = bench("run", "--engine", f"openai:{url}", *QUICK, MY_KEY="sk-very-secret")
    assert done.code == 5
    written = b"".join(f.read_bytes() for f in bench.run_directory.rglob("*") if f.is_file())
    assert "sk-very-secret" not in done.out + done.err
    assert b"sk-very-secret" not in written


def test_a_password_in_an_address_is_refused(cli) -> None:
    """It would stand in the plan."""
    done = cli("plan", "--engine", "openai:base_url=http://u:p@127.0.0.1:9,model=m")
    assert done.code == 2
    assert "api_key_env" in done.complaint[1]
    assert "u:p" not in done.err


def test_the_run_folder_cannot_be_written(bench) -> None:
    """Said before an engine is started."""
    blocked = bench.folder / "blocked"
    blocked.write_text("a file, no folder")
    done = bench(*_scripted(""), "--runs", str(blocked))
    assert done.code == 1
    assert "blocked" in done.complaint[0]
    assert blocked.read_text() == "a file, no folder"
