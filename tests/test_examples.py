"""The examples as third parties use them: wheels in a clean environment, all in one run.

The tutorials include the examples literally, and their commands run here.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import shutil
import sys
import threading
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pages import TUTORIALS, blocks, check_output, commands, of_howtos
from wheels import EXAMPLES, FIRST_PARTY, ROOT, CleanEnvironment, build, clean_environment

SUITE = """version: 1
name: tiny
requires: ["tinychip>=0.1", "tinyengine>=0.1,<1"]
use: [tinywatch]
deployments:
  - engine: tinyengine
    model: tinymodel
    hardware: {tinychip: {readings: readings.txt}}
workloads:
  - tinytalk: {answer_tokens: 12}
load: {concurrency: [2], duration_s: 2.5}
reporters: [console, {tinyreport: {file: summary.md}}]
"""


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> CleanEnvironment:
    """A clean environment with the wheels of every distribution and every example."""
    folder = tmp_path_factory.mktemp("clean")
    return clean_environment(folder, build([*FIRST_PARTY, *EXAMPLES], folder / "wheels"))


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Path]:
    """A file of readings as the driver of the Tiny T1 writes it: 42 W and an energy counter."""
    file = tmp_path / "readings.txt"
    over, begun = threading.Event(), time.monotonic()

    def write() -> None:
        draft = file.with_suffix(".new")
        draft.write_text(f"0 42.0 {1000 + 42 * (time.monotonic() - begun):.3f}\n")
        draft.replace(file)

    def work() -> None:
        while not over.wait(0.02):
            write()

    write()
    thread = threading.Thread(target=work)
    thread.start()
    yield file
    over.set()
    thread.join()


# -- all in one run ------------------------------------------------------------------------------


@pytest.mark.real
def test_imports_come_from_wheels(clean: CleanEnvironment, tmp_path: Path) -> None:
    """The clean environment does not use the checkout."""
    names = ["tokenbench", *(module for folder in EXAMPLES for module in _modules(folder))]
    code = (
        "import importlib, sys\nfor n in sys.argv[1:]: print(importlib.import_module(n).__file__)"
    )
    done = clean("python", "-c", code, *names, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    files = done.stdout.split()
    assert len(files) == len(names) > 7
    assert all(Path(file).is_relative_to(clean.folder) for file in files), files


@pytest.mark.real
def test_one_run_with_all_examples(clean: CleanEnvironment, driver: Path, bench) -> None:
    """Chip, model, engine, conversation, reporter and amendment work together."""
    folder = driver.parent
    (folder / "tiny.yaml").write_text(SUITE)
    mark = {"TOKENBENCH_TEST_MARK": bench.mark}
    explained = clean("bench", "plan", "tiny.yaml", "--explain", cwd=folder)
    assert explained.returncode == 0, explained.stderr
    _explains(explained.stdout)
    done = clean("bench", "run", "tiny.yaml", "--allow-invalid", cwd=folder, **mark)
    assert done.returncode == 0, done.stderr
    (run,) = (folder / "runs").iterdir()
    (result,) = map(json.loads, (run / "results.jsonl").read_text().splitlines())
    _counts_agree(result)
    _power_is_the_drivers(result)
    _second_turns_use_first_answers(run)
    _amendment_was_in_force(run)
    table = (run / "reports" / "summary.md").read_text().splitlines()
    assert table[2].startswith("| tiny | c2 | done | ")
    assert table[2].endswith(" | 42 |")
    facts = json.loads((run / "provenance.json").read_text())
    plugins = {key: text for key, text in facts.items() if key.startswith("plugin.")}
    for kind, name in (
        *(("hardware", "tinychip"), ("model", "tinymodel"), ("engine", "tinyengine")),
        *(("workload", "tinytalk"), ("reporter", "tinyreport"), ("amendment", "tinywatch")),
    ):
        assert plugins[f"plugin.{kind}.{name}"] == f"{name} 0.1.0 (API 0.2)"


def _explains(text: str) -> None:
    """Each setting has its origin: the chip, the model's recipe or the amendment."""
    lines = text.splitlines()
    (log,) = [line for line in lines if "server flag --log = True" in line]
    assert "[amendment: tinywatch: a T1 sleeps after 5 s without a heartbeat" in log
    (awake,) = [line for line in lines if "variable TINY_KEEP_AWAKE = '1'" in line]
    assert "[amendment: tinywatch: " in awake
    (devices,) = [line for line in lines if "TINY_VISIBLE_DEVICES" in line]
    assert devices.endswith("= '{devices}'  [hardware: tinychip: each process its own chips]")
    flag = "server flag --concurrency = 8  [recipe: "
    (recipe,) = [i for i, line in enumerate(lines) if flag in line]
    assert lines[recipe + 1].strip() == "replaced 2 (engine: tinyengine)"
    assert any(
        line.startswith("  sidecar: -P -m tinywatch --watch http://{server.0.") for line in lines
    )


def _counts_agree(result: dict[str, Any]) -> None:
    """The client counts the same tokens as the engine."""
    assert (result["state"], result["error"]) == ("done", None)
    assert (result["engine"], result["model"], result["hardware"]) == (
        *("tinyengine", "tinymodel"),
        "tiny-t1",
    )
    assert result["engine_version"] == "tinyengine 0.1.0"
    agreement = next(c for c in result["checks"] if c["name"] == "server agreement")
    assert (agreement["outcome"], agreement["value"]) == ("ok", 0.0), agreement
    (requests,) = result["metrics"]["requests_ok"]["values"]
    assert requests > 10
    assert result["metrics"]["output_tokens"]["values"] == [12 * requests]
    assert result["metrics"]["ttft_s.p50"]["mean"] > 0


def _power_is_the_drivers(result: dict[str, Any]) -> None:
    """42 W, by the samples and by the energy counter."""
    metrics = result["metrics"]
    assert metrics["power_w.accelerator"]["mean"] == pytest.approx(42.0, abs=0.01)
    assert metrics["energy_counter_ratio.accelerator"]["mean"] == pytest.approx(1.0, abs=0.15)
    assert metrics["energy_j_per_output_token.accelerator"]["mean"] > 0


def _second_turns_use_first_answers(run: Path) -> None:
    """The server's log has the words, the records have the lengths."""
    log = next(run.glob("logs/*/server-0.log")).read_text().splitlines()
    talk = [json.loads(line) for line in log if line.startswith('{"prompt"')]
    ends = (" is it true", " is it clear", " so what")
    answers = {one["prompt"]: one["answer"] for one in talk if not one["prompt"].endswith(ends)}
    heard = {" ".join(f"{prompt} {answer}".split()) for prompt, answer in answers.items()}
    checks = [one["prompt"] for one in talk if one["prompt"].endswith(ends[:2])]
    assert len(checks) > 5
    assert len(set(answers.values())) > 5, "answers depend on the question"
    for prompt in checks:
        assert " ".join(prompt.split()[:-3]) in heard
    table = pq.read_table(next(run.glob("points/*/repeat-0/records.parquet"))).to_pylist()
    turns = {(row["session"], row["turn"]): row for row in table}
    follow_ups = [row for (_, turn), row in turns.items() if turn == 1]
    assert len(follow_ups) > 5
    for row in follow_ups:
        first = turns[row["session"], 0]
        assert row["n_in"] == first["n_in"] + first["n_out"] + len(["is", "it", "true"])


def _amendment_was_in_force(run: Path) -> None:
    """The sidecar ran beside the server and knew its address."""
    beats = next(run.glob("logs/*/sidecar-0.log")).read_text().splitlines()
    assert sum(line.endswith(": ok") for line in beats) >= 2, beats


# -- each on its own -----------------------------------------------------------------------------


@pytest.mark.real
@pytest.mark.parametrize(
    "folder", [folder for folder in EXAMPLES if not of_howtos(folder)], ids=lambda f: f.name
)
def test_example_passes_its_kit(clean: CleanEnvironment, tmp_path: Path, folder: Path) -> None:
    """Its own test passes against the installed package, away from its source. The others' tests
    run where their how-to is followed (test_howtos.py).
    """
    for file in (*folder.glob("test_*.py"), *folder.glob("*.txt")):
        shutil.copy(file, tmp_path)
    done = clean("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", ".", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"(\d+) passed", done.stdout)
    assert found is not None
    assert int(found[1]) >= 15, done.stdout


@pytest.mark.real
def test_capabilities_of_an_engine_from_outside(clean: CleanEnvironment, tmp_path: Path) -> None:
    """What it can and lacks stands on its page, and core refuses with its reason."""
    reason = "a word comes from one chip (tinyengine 0.1.0)"
    page = clean("bench", "plugins", "show", "tinyengine", cwd=tmp_path, COLUMNS="200")
    assert page.returncode == 0, page.stderr
    assert "prefix_caching_off" in page.stdout and reason in page.stdout, page.stdout
    command = "plan --engine tinyengine --model tinymodel --hardware tinychip --tp 2"
    refused = clean("bench", *command.split(), "--workload", "tinytalk", cwd=tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert f"does not support tp=2: {reason}" in refused.stderr, refused.stderr


@pytest.mark.parametrize("folder", EXAMPLES, ids=lambda f: f.name)
def test_example_depends_on_the_api_only(folder: Path) -> None:
    """Of a range of versions; it declares the version it was written for."""
    facts = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert facts["dependencies"] == ["tokenbench>=0.1,<0.2"]
    assert facts["optional-dependencies"] == {"test": ["tokenbench-testing>=0.1,<0.2"]}
    assert "0.2" in facts["entry-points"]["tokenbench.api"]
    own = {module.partition(".")[0] for module in _modules(folder)}
    for file in folder.rglob("*.py"):
        allowed = {"tokenbench", "tokenbench.api"}
        if file.name.startswith("test_"):
            allowed |= {"tokenbench_testing"}
        for name in _imports(file):
            top = name.partition(".")[0]
            assert name in allowed or top in {*own, *sys.stdlib_module_names}, f"{file}: {name}"


def _modules(folder: Path) -> list[str]:
    """The modules that its entry points name."""
    facts = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    groups = facts["entry-points"]
    return sorted({m for g, entries in groups.items() for m in entries.values() if g[11:] != "api"})


def _imports(file: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return names


# -- size ---------------------------------------------------------------------------------------

# Lines of Python, with docstrings and comments, without blank lines and tests.
LIMITS = {"chip-data": 20, "chip": 45, "engine": 128, "model": 50, "pools": 160}


def test_examples_are_short(capsys: pytest.CaptureFixture[str]) -> None:
    """Prints the lines of each example, for pyproject.toml and Python; none exceeds its limit."""
    rows = []
    for folder in EXAMPLES:
        project = (folder / "pyproject.toml").read_text().splitlines()
        lines = [line for file in _code(folder) for line in file.read_text().splitlines()]
        rows.append((folder.name, _filled(project), _filled(lines), len(lines)))
    with capsys.disabled():
        print("\nlines, not blank     pyproject   Python   (with blank ones)")
        for name, project_lines, python_lines, everything in rows:
            print(f"  examples/{name:<14}{project_lines:>6}{python_lines:>9}{everything:>9}")
    found = {name: python_lines for name, _, python_lines, _ in rows}
    assert all(found[name] <= limit for name, limit in LIMITS.items()), found


def test_model_example_is_data() -> None:
    """Its module has one function, the hook, and no class."""
    (file,) = _code(ROOT / "examples" / "model")
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    made = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, kinds)]
    assert [getattr(node, "name", "lambda") for node in made] == ["bench_register_models"]


def _code(folder: Path) -> list[Path]:
    return [f for f in sorted(folder.rglob("*.py")) if not f.name.startswith("test_")]


def _filled(lines: list[str]) -> int:
    return sum(bool(line.strip()) for line in lines)


# -- the tutorials -------------------------------------------------------------------------------


def _included() -> list[tuple[Path, str, str]]:
    """Page, path and text of every file that a tutorial includes."""
    found = [(page, block) for page in TUTORIALS for block in blocks(page)]
    return [(page, block.file, block.text) for page, block in found if block.file]


@pytest.mark.parametrize(("page", "path", "text"), _included(), ids=lambda v: str(v)[-30:])
def test_tutorials_include_files_literally(page: Path, path: str, text: str) -> None:
    """A block with a file name is that file, byte for byte."""
    assert (ROOT / path).read_text() == text


def test_tutorials_include_whole_examples() -> None:
    """Every marked block is found, under its path; every file of an example is in a tutorial."""
    shown = {path for _, path, _ in _included()}
    marked = [block for page in TUTORIALS for block in blocks(page) if block.file]
    assert all(block.path == block.file for block in marked)
    marks = sum(page.read_text().count("<!-- file:") for page in TUTORIALS)
    assert len(TUTORIALS) == 3
    assert marks == len(_included())
    for name in ("chip-data", "chip", "engine", "model"):
        folder = ROOT / "examples" / name
        for file in (*folder.rglob("*.py"), folder / "pyproject.toml"):
            if "__pycache__" not in file.parts and file.read_text().count("\n") > 1:
                assert str(file.relative_to(ROOT)) in shown, file


@pytest.mark.real
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda p: p.stem)
def test_tutorial_commands_print_what_the_page_shows(
    clean: CleanEnvironment, tmp_path: Path, page: Path
) -> None:
    """Each `bench` command of the page prints the lines shown below it; `...` matches any text."""
    shutil.copy(ROOT / "examples" / "chip" / "readings.txt", tmp_path)
    count = 0
    for command in (command for block in blocks(page) for command in commands(block)):
        words = shlex.split(command.text)
        if words[0] != "bench":
            continue
        count += 1
        # A busy machine must not change the output.
        busy = ["--allow-invalid", "--reporter", "console:all=true"]
        words += busy if words[1] == "run" else []
        done = clean(*words, cwd=tmp_path, COLUMNS="140")
        refused = any(line.startswith("error: ") for line in command.shown)
        assert (done.returncode != 0) == refused, done.stdout + done.stderr
        check_output(done, command.shown)
    assert count >= 3
