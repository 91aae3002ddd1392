"""What cannot be meant, told by `bench plan` and `bench run` before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

OPENAI = "openai:base_url=http://127.0.0.1:9,model=m"
HEAD = 'deployments:\n- engine: {openai: {base_url: "http://127.0.0.1:9", model: m}}\n'


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        (("--concurrency", "0"), "--concurrency: expected at least 1, got 0"),
        (("--concurrency", "1,,2"), "--concurrency: expected numbers"),
        (("--concurrency", ""), "--concurrency: expected numbers"),
        (("--duration", "nan"), "--duration: expected a finite number, got nan"),
        (("--duration", "-1"), "--duration: expected more than 0, got -1"),
        (("--rate", "inf"), "--rate: expected a finite number, got inf"),
        (
            ("--rate", "1", "--arrival", "gamma", "--burstiness", "nan"),
            "--burstiness: expected a",
        ),
        (("--precision", "nan"), "--precision: expected a finite number"),
        (("--precision", "200%"), "--precision: expected at most 1"),
        (("--seed", "-1"), "--seed: expected at least 0, got -1"),
        (("--seed", "9" * 20), "--seed: expected at most 4,294,967,295"),
        (("--name", " "), "--name: expected text"),
        (("--load-workers", "0"), "--load-workers: expected at least 1"),
        (("--load-workers", "²"), "--load-workers: expected auto or a number"),
        (("--workload", "random:input_tokens="), "workload random.input_tokens: expected int"),
        (
            ("--workload", "random:input_range=nan"),
            "workload random.input_range: expected a fin",
        ),
        (("--workload", "random:input_range=2"), "workload random.input_range: expected at most 1"),
        (("--workload", "random:format="), "workload random.format: expected text"),
        (("--workload", "random:prefix_tokens=9999"), "--workload: prefix_tokens: expected less"),
        (("--workload", "nope"), "--workload: unknown workload 'nope'"),
        (("--eval", "demo:limit=0"), "eval demo.limit: expected at least 1"),
        (("--eval", "gsm8k:shots=3"), "--eval: eval gsm8k: shots: expected 0, 5 or 8"),
        (
            ("--reporter", "files:formats=csv//json"),
            "reporter files.formats: expected a list of t",
        ),
        (("--reporter", "files:formats=xls"), "reporter files.formats: expected one of json"),
        (
            ("--reporter", "console", "--reporter", "console"),
            "--reporter: 'console' is given",
        ),
        (("--use", ""), "--use: no name in ''"),
        (("--hardware", "nope"), "--hardware: unknown hardware 'nope'"),
        (("--launcher", "local:x=1"), "launcher local: unknown option 'x'"),
        (("--port", "80"), "--port: the engine 'openai' does not start"),
        (("--weights", "fp8"), "--weights: the engine 'openai' loads no weights"),
        (("--model", ""), "--model: no name in ''"),
        (("--model", "hf:path"), "--model: expected key=value after 'hf', got 'path'"),
        (("--model", "hf:path=/nowhere"), "--model: there is no folder /nowhere"),
        (("--model", "dsr1:a=1"), "model dsr1: unknown option 'a'"),
        (("--tp", "-1"), "--tp: expected between 1 and"),
    ],
)
def test_flags(cli, flags: tuple[str, ...], error: str) -> None:
    """The flag, what was expected, and what was found."""
    done = cli("plan", "--engine", OPENAI, *flags)
    assert (done.code, error in done.complaint[0]) == (2, True), done.err


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ("base_url=http://127.0.0.1:99999", "engine openai.base_url: expected http://HOST:PORT"),
        ("base_url='http://a b'", "engine openai.base_url: expected http://HOST:PORT without spac"),
        ("base_url=http://h?key=secret", "engine openai.base_url: expected http://HOST:PORT/PATH"),
        ("base_url=http://u:secret@h", "engine openai.base_url: an address must not contain"),
        ("api_key_env=NO_SUCH_KEY", "--engine: the environment variable NO_SUCH_KEY, for the API"),
        ("api_key_env=sk-secret", "engine openai.api_key_env: expected the NAME of an environment"),
        ("api_key_env=", "engine openai.api_key_env: expected text"),
        ("model=", "engine openai.model: expected text"),
        ("start_timeout_s=inf", "engine openai.start_timeout_s: expected a finite number"),
        ("start_timeout_s=1e9", "--engine: start_timeout_s: expected at most 604,800 s, got 1e+09"),
        ("tokenizer=/nowhere", "engine openai: tokenizer: cannot read"),
    ],
)
def test_options_of_a_server(cli, monkeypatch, options: str, error: str) -> None:
    """The option, and never a key."""
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    given = dict(part.split("=", 1) for part in OPENAI.partition(":")[2].split(","))
    key, _, value = options.partition("=")
    text = ",".join(f"{name}={text}" for name, text in {**given, key: value}.items())
    done = cli("plan", "--engine", f"openai:{text}")
    assert (done.code, error in done.complaint[0]) == (2, True), done.err
    assert "secret" not in done.err


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ("  port: 9000", "3: deployments[0].port: the engine 'openai' does not start"),
        ("  flags: {--x: 4}", "3: deployments[0].flags: the engine 'openai' does not start"),
        (
            "  environment: {A: b}",
            "3: deployments[0].environment: the engine 'openai' does not start",
        ),
        ("  precision: fp8", "3: deployments[0].precision: unknown key"),
        ("  weights: fp8", "3: deployments[0].weights: the engine 'openai' loads no weights"),
        ("  model: nope", "3: deployments[0].model: unknown model 'nope'"),
        ("  hardware: nope", "3: deployments[0].hardware: unknown hardware 'nope'"),
        ("workloads: {random: {input_tokens: 5}}", "3: workloads: expected a list, got a mapping"),
        ("requires: tokenbench", "3: requires: expected a list, got a string"),
        ("requires: [attrs, '@@']", "3: requires[1]: invalid requirement"),
        ("load: [1]", "3: load: expected a mapping, got a list"),
        ("load: {rate: [1], trace: /nowhere, arrival: replay}", "3: load.trace: cannot read the"),
        (
            "workloads:\n- random:\n    input_tokens: [5]",
            "5: workloads[0].random.input_tokens: exp",
        ),
        (
            "workloads: [{random: {prefix_tokens: 9999}}]",
            "3: workloads[0]: prefix_tokens: expected",
        ),
        ("workloads: [{random: {input_tokens: 200000000}}]", "3: workloads[0]: the workload"),
        ("reporters: [{files: {formats: csv}}]", "3: reporters[0].files.formats: expected a list"),
        ("evals: [{demo: {limit: 1.5}}]", "3: evals[0].demo.limit: expected int, got 1.5"),
        (
            "certification: {client_cpu_share: {flag: 85, invalid: null}}",
            "3: certification.client",
        ),
        ("use: [nope]", "3: use[0]: unknown amendment 'nope'"),
    ],
)
def test_keys_of_a_suite(cli, tmp_path: Path, lines: str, error: str) -> None:
    """File, line and path, whoever found it: the structure, a rule, a plugin or the planner."""
    (tmp_path / "suite.yaml").write_text(f"{HEAD}{lines}\n")
    done = cli("plan", "suite.yaml")
    assert (done.code, f"error: suite.yaml:{error}" in done.complaint[0]) == (2, True), done.err


@pytest.mark.parametrize(
    ("flags", "length"),
    [
        (("--concurrency", "2", "--sessions", "5"), "5 sessions"),
        (("--concurrency", "2", "--requests", "7"), "7 requests"),
        (("--concurrency", "2", "--duration", "9"), "9 s"),
        (("--rate", "2", "--duration", "9"), "9 s"),
    ],
)
def test_the_length_of_a_repeat_is_shown(cli, flags: tuple[str, ...], length: str) -> None:
    """Whatever ends it."""
    done = cli("plan", "--engine", "llamacpp", "--model", "smollm2", "--repeats", "3", *flags)
    assert f"3 x {length}, warm-up" in done.out and "None" not in done.out, done.err


def test_a_key_that_is_not_set_is_told_before_anything_starts(cli, tmp_path: Path) -> None:
    """No request without a key is sent, no run directory made."""
    options = "base_url=http://127.0.0.1:9,model=m,api_key_env=TOKENBENCH_NO_SUCH_KEY"
    done = cli("run", "--engine", f"openai:{options}", "--requests", "2")
    assert done.code == 2
    assert "TOKENBENCH_NO_SUCH_KEY, for the API key, is not set" in done.complaint[0]
    assert not (tmp_path / "runs").exists()


def test_an_engine_for_accelerators_without_hardware(cli, tmp_path: Path) -> None:
    """A third party's engine that runs on any accelerator is not planned for the CPU."""
    (tmp_path / "suite.yaml").write_text("deployments:\n- engine: accelerated\n")
    for args, place in (
        (("suite.yaml",), "suite.yaml:2: deployments[0].hardware"),
        (("--engine", "accelerated"), "deployments[0].hardware"),
        (("--engine", "accelerated", "--hardware", "cpu"), "--hardware"),
    ):
        done = cli("plan", *args)
        assert done.code == 2
        assert done.complaint[0].startswith(
            f"error: {place}: the engine 'accelerated' needs accelerators, and 'cpu' has none"
        )
        assert "name it: --hardware NAME" in done.complaint[1]


def test_the_suite_that_a_run_keeps_can_be_planned_again(cli, tmp_path: Path) -> None:
    """Lists that were typed on the command line are text in it."""
    args = ("--engine", "scripted", "--reporter", "files:formats=json/csv")
    assert cli("plan", *args).code == 0
    data = json.loads(cli("plan", *args, "--json").out)["suite"]
    assert data["reporters"] == [{"files": {"formats": "json/csv"}}]
    (tmp_path / "suite.json").write_text(json.dumps(data))
    assert json.loads(cli("plan", "suite.json", "--json").out)["suite"] == data
    (tmp_path / "suite.yaml").write_text(json.dumps(data))
    assert "reporters[0].files.formats: expected a list" in cli("plan", "suite.yaml").complaint[0]
