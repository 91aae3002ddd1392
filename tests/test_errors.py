"""Bad input and failures: an error and a hint, the right exit code, no lost data, no processes."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests_bench import SUITE, measured, wait_for

from tokenbench.launch.ports import free_port

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
        (["plan", *REAL, "smollm2", "--weights", "fp4"], 2, "no weights of precision", "q4_1"),
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
def test_usage_errors(
    cli, tmp_path: Path, args: list[str], code: int, error: str, hint: str
) -> None:
    """The error names the cause, the hint the remedy; no run directory is created."""
    done = cli(*args)
    found = done.complaint
    assert (done.code, error in found[0], hint in found[1]) == (code, True, True), found
    assert not (tmp_path / "runs").exists()


FIND = ("--find", "max-concurrency", "--slo", "ttft<1s")


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (("--burstiness", "1"), "--burstiness: it is the shape of gamma arrivals"),
        (("--rate", "1", "--burstiness", "0.5"), "--burstiness: it is the shape of gamma"),
        (("--trace", "t"), "--trace: replay is an arrival process of open loops"),
        (("--rate", "1", "--trace", "t", "--arrival", "poisson"), "--trace: a trace needs"),
        (("--rate", "1", "--trace", ""), "--trace: the file name is empty"),
        (("--arrival", "poisson"), "--arrival: poisson is an arrival process of open loops"),
        (("--arrival", ""), "--arrival: expected one of constant"),
        (("--rate", "1", "--arrival", "ramp", "--requests", "9"), "--arrival: a ramp needs a dur"),
        (("--from", "2"), "--from limits a search"),
        (("--to", "2"), "--to limits a search"),
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
        (("--rate", "1e5", "--duration", "6e5"), "--rate: 100000 a second for 600000 s"),
        (("--find", "max-rate"), "--find: a search needs objectives"),
        (("--slo", "fast"), "invalid objective 'fast'"),
        (("--rate", "0"), "--rate: expected more than 0"),
        (("--rate", "x"), "--rate: expected numbers"),
        (("--rate", "1", "--arrival", "weekly"), "--arrival: expected one of"),
        (("--rate", "1", "--arrival", "replay"), "replay needs a trace"),
        (("--rate", "1", "--trace", "absent"), "cannot read the trace absent"),
    ],
)
def test_contradictory_or_impossible_loads(
    cli, tmp_path: Path, flags: tuple[str, ...], error: str
) -> None:
    """The error names the flag; no engine is started, no run directory created."""
    (tmp_path / "t").write_text("0\n1\n")
    done = cli("run", "--engine", "scripted", *flags)
    assert (done.code, error in done.complaint[0]) == (2, True), done.err
    assert not (tmp_path / "runs").exists()


def test_contradiction_of_flags_and_suite_names_its_origin(cli, tmp_path: Path) -> None:
    """The line of the suite, or the flag, that must change."""
    head = "deployments:\n- engine: scripted\nload:\n"
    (tmp_path / "s.yaml").write_text(head + "  concurrency: [4]\n  repeats: 2\n")
    done = cli("plan", "s.yaml", "--find", "max-rate", "--slo", "ttft<1s")
    assert "s.yaml:4: load.concurrency: find searches for the load" in done.complaint[0]
    done = cli("plan", "s.yaml", "--to", "8")
    assert "--to limits a search" in done.complaint[0]
    done = cli("plan", "s.yaml", "--tp", "1")
    assert "--tp cannot be combined" in done.complaint[0]
    (tmp_path / "s.yaml").write_text(
        head + "  rate: [4]\n  arrival: gamma\n  burstiness: 0.5\n  duration_s: 1\n"
    )
    done = cli("plan", "s.yaml", "--arrival", "poisson")
    assert done.code == 0, done.err
    done = cli("plan", "s.yaml", "--arrival", "poisson", "--burstiness", "2")
    assert "--burstiness: it is the shape" in done.complaint[0]


def test_flags_set_the_bounds_of_a_suites_search(cli, tmp_path: Path) -> None:
    """A search of another kind drops the bounds of the suite."""
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
def test_plugin_that_cannot_be_created(
    cli, tmp_path: Path, args: tuple[str, ...], code: int, error: str
) -> None:
    """Leaves no files behind and does not change existing ones."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("kept")
    done = cli("plugins", "new", *args)
    assert (done.code, error in done.complaint[0]) == (code, True), done.err
    assert len(done.err.splitlines()) == 2
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "full"]


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is an NVIDIA GPU here")
def test_absent_hardware(cli) -> None:
    """Exit code 4, with the reason."""
    done = cli("plan", *REAL, "smollm2", "--hardware", "nvidia")
    assert done.code == 4
    assert "no nvidia hardware on this machine" in done.complaint[0]
    assert "nvidia" in done.complaint[1].lower()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (("    model: smollm2", "    modle: smollm2"), "5: deployments[0].modle: unknown"),
        (("tp: 1", 'tp: "four"'), '7: deployments[0].topology.tp: expected int, got "four"'),
        (("load:", "certification: {client_cpu: {flag: 1}}\nload:"), "9: certification.client_cpu"),
        (("repeats: 1", "repeats: 0"), "11: load.repeats: expected at least 1"),
        (("version: 1", "version: 99"), "1: version: this bench reads suites of version 1"),
        (("name: try", "name: try\nname: again"), "3: not valid YAML: the key 'name'"),
        (("[1]", "[1"), "11: not valid YAML"),
    ],
)
def test_suite_errors_name_file_line_and_path(cli, tmp_path: Path, change, error: str) -> None:
    """``suite.yaml:7: deployments[0].topology.tp: expected int, got "four"``."""
    (tmp_path / "suite.yaml").write_text(SUITE.replace(*change))
    done = cli("run", "suite.yaml")
    assert done.code == 2
    assert f"suite.yaml:{error}" in done.complaint[0]


def test_port_in_use(bench) -> None:
    """Reported before the engine is started."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = bench("run", *REAL, "smollm2", *QUICK, "--port", str(port))
    assert done.code == 5
    assert f"port 127.0.0.1:{port} is in use" in done.complaint[0]


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("absent-package", "the package 'no-such-package-anywhere' is not installed"),
        ("absent-file", "the weights are missing: /nonexistent/x.gguf"),
        ("short-file", "the weights are corrupt"),
        ("damaged-file", "is not a GGUF file"),
    ],
)
def test_missing_or_corrupt_weights(bench, model: str, error: str) -> None:
    """Missing package, missing file, wrong size, wrong content."""
    file = bench.folder / "weights"
    file.write_bytes(b"no gguf")
    done = bench("run", *REAL, model, *QUICK, TOKENBENCH_TEST_WEIGHTS=str(file))
    assert done.code == 5
    assert error in done.complaint[0]


@pytest.mark.real
def test_real_engine_refuses_truncated_weights(bench, weights: Path) -> None:
    """llama.cpp exits; its output is in the error."""
    file = bench.folder / "cut.gguf"
    file.write_bytes(weights.read_bytes()[: 10 << 20])
    done = bench("run", *REAL, "damaged-file", *QUICK, TOKENBENCH_TEST_WEIGHTS=str(file))
    assert done.code == 5
    assert "the engine 'llamacpp' did not start" in done.complaint[0]


def test_server_exits_at_start(bench) -> None:
    """The end of its log is part of the error."""
    done = bench("run", "--engine", "scripted:dies=true", *QUICK)
    assert done.code == 5
    assert "did not start: server-0 ended with exit code 3" in done.complaint[0]
    assert "out of memory, says the engine" in done.complaint[0]


def test_server_never_becomes_ready(bench) -> None:
    """The error states the engine's time limit."""
    script = "script='--never-ready',start_timeout_s=1.5"
    done = bench("run", "--engine", f"scripted:{script}", *QUICK)
    assert done.code == 5
    assert "did not become ready within 1.5 s" in done.complaint[0]


def test_server_exits_during_a_point(bench) -> None:
    """The point and its records are kept, although every later request was refused."""
    done = bench(*_scripted("--die-after 9 --itl-s 0.02 --die-slowly 0.5", "--duration", "20"))
    assert done.code == 5
    assert "the engine died: server-0 ended with exit code 7" in done.complaint[0]
    (result,) = measured(bench)
    assert (result["state"], result["measurement"]) == ("failed", "invalid")
    assert json.loads((bench.run_directory / "run.json").read_text())["state"] == "failed"
    (records,) = bench.run_directory.glob("points/*/repeat-0/records.parquet")
    assert records.stat().st_size > 0


def test_server_stalls_twice(bench) -> None:
    """The first stalled point restarts the server, the second ends the run."""
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
    """Simulated by a limit on file size: a write fails midway in both cases."""
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
    assert json.loads((bench.run_directory / "run.json").read_text())["state"] == "failed"
    drafts = [f for f in bench.run_directory.rglob(".*") if f.is_file()]
    assert not drafts, "a partial file is left"


EVAL = ("--eval", "demo:limit=30", "--no-canaries")
STAGES = {
    "starting": ("--ttft-s 3", "starting the server"),
    "warm-up": ("--itl-s 0.3", "phase=warm-up"),
    "repeat": ("--itl-s 0.1", 'phase="repeat 1/1"'),
    "eval": ("--itl-s 0.05',sized='true", "kind=twin"),
}


@pytest.mark.parametrize("stage", STAGES)
def test_ctrl_c(bench, stage: str) -> None:
    """Exit code 130; results are kept; the engine is stopped."""
    script, line = STAGES[stage]
    length = "0.3" if stage == "eval" else "30"
    process = bench.start(*_scripted(script, "--duration", length, *EVAL))
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
    """The supervisors stop every process; the run directory can be read."""
    script, line = STAGES[stage]
    length = "0.3" if stage == "eval" else "30"
    process = bench.start(*_scripted(script, "--duration", length, *EVAL))
    wait_for(process, line)
    time.sleep(0.7)
    process.kill()
    process.communicate()
    assert bench.all_gone()
    assert json.loads((bench.run_directory / "run.json").read_text())["state"] == "running"
    shown = bench("report", str(bench.run_directory), "--reporter", "console")
    assert (shown.code, "run running: it is in progress, or bench was killed" in shown.out) == (
        0,
        True,
    )


def test_failing_observer_does_not_end_the_run(bench) -> None:
    """It is logged with its name."""
    done = bench(*_scripted("", "--allow-invalid"), TOKENBENCH_TEST_OBSERVER="1")
    assert done.code == 0, done.err
    assert "observer failed" in done.err and "tokenbench_test_plugins" in done.err


def test_api_key_is_not_written(bench) -> None:
    """Neither to a file nor to the output of a run that uses it."""
    port = free_port()
    command = (sys.executable, "-m", "tokenbench_testing.server", "--port", str(port))
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=bench.environment())
    try:
        engine = f"openai:base_url=http://127.0.0.1:{port},model=scripted,api_key_env=MY_KEY"
        options = ("--requests", "4", "--allow-invalid")
        done = bench("run", "--engine", engine, *QUICK, *options, MY_KEY="sk-very-secret")
    finally:
        server.kill()
        server.wait()
    assert done.code == 0, done.err
    written = b"".join(f.read_bytes() for f in bench.run_directory.rglob("*") if f.is_file())
    assert b"MY_KEY" in written
    assert "sk-very-secret" not in done.out + done.err
    assert b"sk-very-secret" not in written


def test_password_in_a_url_is_refused(cli) -> None:
    """It would be written to the plan."""
    done = cli("plan", "--engine", "openai:base_url=http://u:p@127.0.0.1:9,model=m")
    assert done.code == 2
    assert "api_key_env" in done.complaint[1]
    assert "u:p" not in done.err


def test_run_folder_is_not_writable(bench) -> None:
    """Reported before an engine is started."""
    blocked = bench.folder / "blocked"
    blocked.write_text("a file, no folder")
    done = bench(*_scripted(""), "--runs", str(blocked))
    assert done.code == 1
    assert "blocked" in done.complaint[0]
    assert blocked.read_text() == "a file, no folder"
