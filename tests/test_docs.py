"""The pages are true: commands plan, suites are read, links lead somewhere, words are current."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import attrs
import pytest

from tokenbench.measure.certify import CHECKS
from tokenbench.measure.thresholds import CertificationThresholds
from tokenbench.plan.canonical import plain
from tokenbench.suite.schema import DeploymentRequest, LoadRequest, Suite
from tokenbench.suite.structure import read_suite

ROOT = Path(__file__).resolve().parent.parent
READMES = [ROOT / "README.md", ROOT / "core/README.md", ROOT / "CONTRIBUTING.md"]
PAGES = [*READMES, *sorted((ROOT / "docs").rglob("*.md"))]
RETIRED = (
    r"wire[ -]formats?|\bwires\b",  # codec
    r"\bcrews?\b",  # worker group
    r"\breactors?\b",  # event loop
    r"\bstencils?\b",  # chunk template
    r"\bexchange[sd]?\b",  # in-flight request
    r"\bdial(s|led|ling)?\b",  # connect
    r"\bstamp(s|ed|ing)?\b",  # timestamp
    r"\bslots?\b(?!=)",  # concurrency
    r"\bpackets?\b",  # test group
    r"\bhouses?\b",  # package, project
    r"\bmend(s|ed|ing)?\b",  # fix
    r"slips? of the keyboard",  # typo
)
# Slots of llama.cpp, and of the C API of Python.
OWN_SLOTS = re.compile(r"llama|`slots`|of one slot|_slots\b|_Slot\b")
# The configuration of the model in the folder "my-model".
MODEL = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 8192,
    "vocab_size": 49152,
    "torch_dtype": "bfloat16",
}


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that the documents name for keys."""
    for name in ("MY_KEY", "AZURE_KEY"):
        monkeypatch.setenv(name, "key-of-a-test")


def _commands() -> list[str]:
    text = "\n".join(page.read_text() for page in PAGES)
    return sorted(set(re.findall(r"^\$ (?:\.venv/bin/)?(bench .+)$", text, re.MULTILINE)))


@pytest.mark.parametrize("command", _commands())
def test_commands_in_the_documents_work(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Each is planned (nothing is started): every flag, plugin and option in it exists."""
    for name in ("gsm8k_test.jsonl", "ca.pem"):
        (tmp_path / name).write_text("")
    (tmp_path / "suites").symlink_to(ROOT / "suites")
    for model in ("my-model", ".venv-dynamo/models/tiny-qwen3"):
        (tmp_path / model).mkdir(parents=True)
        (tmp_path / model / "config.json").write_text(json.dumps(MODEL))
    for environment in (".venv-vllm", ".venv-dynamo", ".venv-sglang"):
        (tmp_path / environment / "bin").mkdir(parents=True)
        (tmp_path / environment / "bin/python").symlink_to(sys.executable)
    args = shlex.split(command)[1:]
    if args[0] == "run":
        args[0] = "plan"
    if "--check" in args:  # One is enough here; test_plugins.py checks all of them.
        monkeypatch.setenv("TOKENBENCH_PLUGINS", "random")
    done = cli(*args)
    assert done.code == 0, done.err


@pytest.mark.parametrize("page", sorted((ROOT / "docs/how-to").glob("*.md")), ids=lambda p: p.name)
def test_whole_suites_in_how_tos_are_planned(cli, tmp_path: Path, page: Path) -> None:
    """A block that begins with the version of suites is one."""
    for text in re.findall(r"```yaml\n(version: .*?)```", page.read_text(), re.DOTALL):
        (tmp_path / "s.yaml").write_text(text)
        done = cli("plan", "s.yaml")
        assert done.code == 0, done.err


def test_the_suite_page_shows_every_key_with_its_default(tmp_path: Path) -> None:
    """The page's suite is read, and is what an empty one would be."""
    page = (ROOT / "docs/reference/suite.md").read_text()
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "s.yaml").write_text(text)
    suite = read_suite(tmp_path / "s.yaml")[0]
    bare = attrs.evolve(suite, deployments=(DeploymentRequest(engine=suite.deployments[0].engine),))
    assert suite.load == LoadRequest()
    assert plain(attrs.evolve(bare, deployments=())) == plain(Suite(deployments=()))
    for cls in (Suite, DeploymentRequest, LoadRequest):
        for field in attrs.fields(cls):
            assert re.search(rf"^\W*{field.name}:", text, re.MULTILINE), field.name


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Relative links only; each file exists."""
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_demo_suite_is_read() -> None:
    """The suite behind `make demo`: three load levels, three to five repeats, the gate."""
    suite = read_suite(ROOT / "suites" / "demo.yaml")[0]
    assert suite.load.concurrency == (1, 2, 4)
    assert (suite.load.repeats.at_least, suite.load.repeats.at_most) == (3, 5)
    assert [ref.name for ref in suite.evals] == ["demo"]


def _current_texts() -> list[Path]:
    """Pages and core's sources, without the decisions, which name old words."""
    listed = subprocess.run(
        ["git", "ls-files", "README.md", "CONTRIBUTING.md", "core/README.md", "core/src", "docs"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    files = [ROOT / name for name in listed.stdout.splitlines() if "docs/decisions" not in name]
    return [file for file in files if file.is_file() and file.suffix != ".png"]


@pytest.mark.parametrize("word", RETIRED)
def test_retired_words_appear_nowhere(word: str) -> None:
    """One word per concept, that of the glossary."""
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in _current_texts()
        for number, line in enumerate(file.read_text().splitlines(), 1)
        if re.search(word, line, re.IGNORECASE) and not ("slot" in word and OWN_SLOTS.search(line))
    ]
    assert not found, "\n".join(found)


def test_the_metrics_page_explains_every_check_and_limit() -> None:
    """The hand-written table names each check and each key; the how-to says what to do about each
    check, and about those that are too short.
    """
    page = (ROOT / "docs/reference/metrics.md").read_text()
    table = page.partition("| check |")[2].partition("\n\n")[0]
    text = table + page.partition("## Saturation")[2].partition("##")[0]
    for field in attrs.fields(CertificationThresholds):
        assert f"`{field.name}`" in text, field.name
    advice = (ROOT / "docs/how-to/read-a-verdict.md").read_text()
    names = [
        re.findall(r'name(?:, \w+)* = "(.+?)"', inspect.getsource(check))[0] for check in CHECKS
    ]
    for name in (*names, "stability", "precision"):
        assert f"\n| {name} |" in table, name
        assert f"\n| {name} |" in advice, name
    assert "\n## Too short\n" in advice and "\n## Not assessed\n" in advice


@pytest.mark.parametrize("page", ["reference/glossary.md", "explanation/architecture.md"])
def test_classes_that_pages_name_exist(page: str) -> None:
    """Every class in backticks is defined in core."""
    sources = "\n".join(file.read_text() for file in (ROOT / "core/src").rglob("*.py"))
    for name in set(
        re.findall(r"`(?!None)([A-Z][a-z]\w+)[`.]", (ROOT / "docs" / page).read_text())
    ):
        assert re.search(rf"^class {name}\b", sources, re.MULTILINE), name
