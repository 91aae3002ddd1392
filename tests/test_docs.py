"""The documents say what is: their commands are planned, their suite is read, links lead on."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import attrs
import pytest

from tokenbench.plan.canonical import plain
from tokenbench.suite.schema import DeploymentRequest, LoadRequest, Suite
from tokenbench.suite.structure import load_suite

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _commands() -> list[str]:
    text = "\n".join(page.read_text() for page in PAGES)
    return sorted(set(re.findall(r"^\$ (?:\.venv/bin/)?(bench .+)$", text, re.MULTILINE)))


@pytest.mark.parametrize("command", _commands())
def test_commands_in_the_documents_work(bench, command: str) -> None:
    """Each is planned (nothing is started): every flag, plugin and option in it exists."""
    (bench.folder / "gsm8k_test.jsonl").write_text("")
    args = shlex.split(command)[1:]
    if args[0] == "run":
        args[0] = "plan"
    if args[0] == "report" or "suites/" in command:
        return
    done = bench(*args)
    assert done.code == 0, done.err


def test_the_suite_page_shows_every_key_with_its_default(tmp_path: Path) -> None:
    """The page's suite is read, and is what an empty one would be."""
    page = (ROOT / "docs/reference/suite.md").read_text()
    (text,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "s.yaml").write_text(text)
    suite = load_suite(tmp_path / "s.yaml")
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
    """The suite behind `make demo`: four load levels, three repeats, the gate."""
    suite = load_suite(ROOT / "suites" / "demo.yaml")
    assert suite.load.concurrency == (1, 2, 4, 8)
    assert suite.load.repeats == 3
    assert [ref.name for ref in suite.evals] == ["demo"]
