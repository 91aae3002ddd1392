"""The reference is generated, current and complete, and its examples run."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tokenbench import api
from tokenbench.api import hookspecs
from tokenbench.measure.definitions import DEFINITIONS, STATISTICS
from tokenbench.plugins.kinds import KINDS
from tokenbench.suite.structure import read_suite
from tokenbench_testing.kit import Subject, checks_of, run_check
from tokenbench_testing.samples.events import events

pytest_plugins = ("pytester",)
ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.MULTILINE | re.DOTALL


def _tool() -> ModuleType:
    sys.path.insert(0, str(ROOT / "tools"))  # It imports modules beside it.
    spec = importlib.util.spec_from_file_location("reference", ROOT / "tools" / "reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TOOL = _tool()


def test_the_reference_is_up_to_date() -> None:
    """Every page is what `make reference` writes, and there is no other one."""
    pages = TOOL.all_pages()
    for path, text in pages.items():
        assert path.is_file() and path.read_text() == text, f"{path.name}: make reference"
    for folder in TOOL.FOLDERS:
        found = set((ROOT / "docs/reference" / folder).glob("*.md"))
        assert found == {path for path in pages if path.parent.name == folder}


def test_every_member_has_a_caller_or_a_planned_one() -> None:
    """What core neither reads nor sets, and authors cannot use, is not in the API."""
    members = TOOL.reference_members
    unused = {name for name, use in members.uses().items() if use.none}
    assert unused == set(members.PLANNED), "remove the member, or its row in PLANNED"
    for name, module in members.READ_AS_A_WHOLE.items():
        file = members.CORE / f"{module.replace('.', '/')}.py"
        words = (*name.split("."), "attrs.fields(type", "attrs.asdict", "getattr")
        assert any(word in file.read_text() for word in words), (name, module)


def test_the_kit_has_a_page_for_every_kind() -> None:
    """With every field that an author may set, and every check with the way to fix it."""
    pages = ROOT / "docs/reference"
    for kind in KINDS:
        text = (pages / "kit" / f"{kind.name}.md").read_text()
        for name in TOOL.reference_kit.data_of(kind.name):
            assert f"\n| `{name}` | `" in text, (kind.name, name)
        for check in checks_of(kind.name):
            page = text if check.kinds else (pages / "kit.md").read_text()
            (row,) = re.findall(rf"^\| `{check.name}` \|(.+)\|(.+)\|$", page, re.MULTILINE)
            assert all(len(cell.strip()) > 5 for cell in row), check.name


@pytest.mark.parametrize("kind", ["codec", "eval"])
def test_the_kit_pages_name_the_checks_that_need_data(kind: str, monkeypatch) -> None:
    """A plugin without author's data: exactly those checks ask for it."""
    monkeypatch.syspath_prepend(str(ROOT / "examples" / kind))
    example = importlib.import_module({"codec": "tinyraw", "eval": "tinyquiz"}[kind])
    (spec,) = getattr(example, f"bench_register_{kind}s")()
    options = spec.options() if kind == "eval" else None
    subject = Subject(kind=kind, name=spec.name, module=spec.name, spec=spec, options=options)
    skipped = set()
    for check in checks_of(kind, (2,)):
        finding = run_check(check, subject)
        if re.search("^needs '.+' in the author's test class", finding.reason):
            skipped.add(check.name)
    names = TOOL.reference_kit.data_of(kind)
    told = {check for name in names for check in TOOL.reference_kit.skipped_without(kind, name)}
    assert skipped == told and skipped


def test_every_metric_is_on_the_metrics_page() -> None:
    """By its name; the statistics of a distribution share a row."""
    text = (ROOT / "docs/reference/metrics.md").read_text()
    for metric in DEFINITIONS:
        base, _, suffix = metric.name.partition(".")
        name = f"{base}.STAT" if suffix in STATISTICS else metric.name
        assert f"\n| `{name}` | {metric.unit} |" in text, metric.name


def test_every_hook_has_a_section_with_its_signature() -> None:
    """When it is called, by whom, what must not happen, an example."""
    text = (ROOT / "docs/reference/hooks.md").read_text()
    for name in TOOL.hooks():
        section = text.partition(f"## {name}\n")[2].partition("\n## ")[0]
        names = ", ".join(inspect.signature(getattr(hookspecs, name)).parameters)
        assert re.search(rf"{name}\({names and '.*'}\) -> ", section), name
        for wanted in ("by the ", "Must not:", "Example:", "@hookimpl"):
            assert wanted in section, (name, wanted)
        assert re.search(r"^Called ", section, re.MULTILINE), name


def test_every_name_of_the_api_has_a_section() -> None:
    """Classes, functions and members, each with a description."""
    text = "\n".join(page.read_text() for page in (ROOT / "docs/reference/api").glob("*.md"))
    for name in api.__all__:
        value = getattr(api, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert f"\n## {name}\n" in text, name
    for member in TOOL.members():
        section = text.partition(f"\n### {member}\n")[2].partition("\n##")[0]
        assert len(section.partition("```\n")[2].strip()) > 10, f"{member} has no words"


def _asserts(test: ast.FunctionDef) -> bool:
    return any(isinstance(node, ast.Assert) for node in ast.walk(test))


def _covered() -> dict[str, list[str]]:
    """Members in ``pytest.mark.covers`` of tests that assert something."""
    found: dict[str, list[str]] = {}
    for folder in ("core/tests", "tests", "plugins"):
        for file in (ROOT / folder).rglob("test_*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.FunctionDef) and _asserts(node):
                    for mark in node.decorator_list:
                        if ast.unparse(mark).startswith("pytest.mark.covers("):
                            assert isinstance(mark, ast.Call)
                            for arg in mark.args:
                                found.setdefault(ast.literal_eval(arg), []).append(node.name)
    return found


def test_every_hook_and_member_has_a_test_of_its_own() -> None:
    """Named by the test that covers it; a name that is not a member is a typo."""
    covered = _covered()
    wanted = {*TOOL.hooks(), *TOOL.members()}
    assert not wanted - set(covered), "no test covers these"
    assert not set(covered) - wanted, "these are no members"


def _blocks(language: str) -> list[Any]:
    found = []
    for page in PAGES:
        # A block that is a file of the repository is run where that file is.
        own = re.sub(r"<!-- file: .*? -->\s+```.*?^```", "", page.read_text(), flags=_BLOCK)
        texts = re.findall(rf"^```{language}\n(.*?)^```", own, _BLOCK)
        found += [
            pytest.param(text, id=f"{page.stem}-{number}") for number, text in enumerate(texts)
        ]
    return found


@pytest.mark.parametrize("code", _blocks("python"))
def test_python_in_the_documents_runs(code: str, tmp_path: Path, monkeypatch) -> None:
    """Each block is a module: it runs, and the hooks in it give what their kind needs."""
    monkeypatch.chdir(tmp_path)
    module = ModuleType("example")
    monkeypatch.setitem(sys.modules, "example", module)
    exec(compile(code, "example", "exec"), vars(module))
    for kind in KINDS:
        register = getattr(module, kind.hook or "", None)
        if register is not None and kind.spec is not None:
            specs = register()
            assert specs and all(isinstance(spec, kind.spec) for spec in specs)
    for hook, event in events(str(tmp_path)).items():
        observe = getattr(module, hook, None)
        if observe is not None:
            assert observe(event=event) is None


@pytest.mark.parametrize("text", _blocks("yaml"))
def test_suites_in_the_documents_are_read(text: str, tmp_path: Path) -> None:
    """Every YAML block is a whole suite."""
    file = tmp_path / "suite.yaml"
    file.write_text(text)
    assert read_suite(file)[0].deployments


def test_what_ran_is_declared_and_has_its_test() -> None:
    """A proof of a capability that is gone, or by a test that is gone, is none."""
    engines, proofs = TOOL.reference_engines.engines(), TOOL.reference_engines.proofs()
    for name, found in proofs.items():
        unknown = set(found) - set(engines[name].names)
        assert not unknown, f"{name} does not declare {', '.join(sorted(unknown))}"
        for by in found.values():
            file, _, test = by["test"].partition("::")
            assert f"def {test.rpartition('::')[2]}(" in (ROOT / file).read_text(), by["test"]


def test_what_passes_is_recorded(pytester: pytest.Pytester) -> None:
    """With --record-proofs, and with the version that the results of the test's run name."""
    pytester.makeconftest((ROOT / "conftest.py").read_text())
    pytester.makeini("[pytest]\nmarkers = proves: x\n")
    pytester.mkdir("docs").joinpath("reference").mkdir()
    pytester.makepyfile(
        test_real="""
        import pytest
        from types import SimpleNamespace

        @pytest.fixture
        def bench(tmp_path):
            (tmp_path / "runs" / "r").mkdir(parents=True)
            (tmp_path / "runs" / "r" / "results.jsonl").write_text('{"engine_version": "e 1.2"}')
            return SimpleNamespace(folder=tmp_path)

        @pytest.mark.proves("e", "tp", "nixl")
        @pytest.mark.parametrize("n", [1])
        def test_it(bench, n): pass

        @pytest.mark.proves("e", "pp")
        def test_fails(): assert False

        @pytest.mark.proves("e", "dp")
        def test_skipped(): pytest.skip("none here")
        """
    )
    pytester.runpytest_subprocess("--record-proofs").assert_outcomes(passed=1, failed=1, skipped=1)
    recorded = json.loads((pytester.path / "docs/reference/engine-proofs.json").read_text())
    assert set(recorded["e"]) == {"tp", "nixl"}
    by = recorded["e"]["tp"]
    assert (by["version"], by["test"]) == ("e 1.2", "test_real.py::test_it")
