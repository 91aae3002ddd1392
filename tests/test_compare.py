"""`bench compare` as a command: matching, text, JSON and exit codes, on imported runs."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import random
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from tests_bench import Done

Cli = Callable[..., Done]
LEVELS = (1, 2, 4, 8, 16)


def _files(folder: Path, *, slower: float = 0.0, seed: int = 1, repeats: int = 3) -> list[str]:
    """Result files of `vllm bench serve`, in its form, with 1 % noise."""
    folder.mkdir()
    draw = random.Random(seed)
    files = []
    for level in LEVELS:
        for repeat in range(repeats):
            rate = 1000.0 * level * (1 - slower) * draw.gauss(1, 0.01)
            document = {
                "model_id": "m",
                "max_concurrency": level,
                "request_rate": "inf",
                "num_prompts": 10,
                "completed": 10,
                "failed": 0,
                "duration": 10.0,
                "total_input_tokens": 10_000,
                "total_output_tokens": 1000,
                "output_throughput": rate,
                "total_token_throughput": 11 * rate,
                "median_tpot_ms": 1e3 * level / rate,
                "median_ttft_ms": 50 * draw.gauss(1, 0.01),
            }
            file = folder / f"c{level}-{repeat}.json"
            file.write_text(json.dumps(document))
            files.append(str(file))
    return files


def _imported(cli: Cli, files: list[str], *facts: str) -> str:
    done = cli("import", "results", *files, *(x for fact in facts for x in ("--set", fact)))
    assert done.code == 0, done.err
    return done.out.strip().splitlines()[-1].removeprefix("run directory: ")


def test_a_slower_version_is_found(cli: Cli, tmp_path: Path) -> None:
    """Points of two versions match by description; throughput and TPOT are worse, TTFT is not."""
    a = _imported(cli, _files(tmp_path / "a"), "engine=vllm", "engine_version=1")
    slow = _files(tmp_path / "b", slower=0.05, seed=2)
    b = _imported(cli, slow, "engine=vllm", "engine_version=2")
    done = cli("compare", a, b, "--fail-on", "regression>3%")
    assert done.code == 7, done.err
    assert "matched: 5 points, 0 of them by identity" in done.out
    assert "5 that differ in engine_version 1 -> 2" in done.out
    assert "output_tok_s.whole: worse: -5" in done.out and "tpot_s.p50: worse: +5" in done.out
    assert "ttft_s.p50: no change" in done.out
    assert "regression: output_tok_s.whole: -5" in done.err
    assert "certified" not in done.out
    assert cli("compare", a, b, "--fail-on", "regression>20%").code == 0
    assert cli("compare", a, b, "--fail-on", "ttft_s.p50>3%").code == 0
    assert cli("compare", b, a, "--fail-on", "regression>0%").code == 0
    assert cli("compare", a, b).code == 0


def test_json_has_all_of_it(cli: Cli, tmp_path: Path) -> None:
    """Identities, how they matched, changes with intervals, verdicts; no NaN."""
    a = _imported(cli, _files(tmp_path / "a"))
    b = _imported(cli, _files(tmp_path / "b", seed=2)[:-3])
    done = cli("compare", a, b, "--json", "--metric", "output_tok_s.whole")
    found = json.loads(done.out)
    (series,) = found["series"]
    assert [p["matched_by"] for p in series["points"]] == ["identity"] * 4
    assert series["points"][0]["measurement"] == {"a": "imported", "b": "imported"}
    change = series["points"][0]["changes"][0]
    assert change["low"] < change["relative"] < change["high"] and change["detectable"] > 0
    assert series["verdicts"][0]["verdict"] == "too little data"
    assert found["not_compared"]["a"][0]["reason"] == "B has no such point"
    assert found["not_compared"]["b"] == []


@pytest.mark.parametrize("repeats", [1, 2])
def test_a_condition_that_cannot_be_judged_is_no_pass(
    cli: Cli, tmp_path: Path, repeats: int
) -> None:
    """Exit code 6, with what is missing."""
    a = _imported(cli, _files(tmp_path / "a", repeats=repeats))
    b = _imported(cli, _files(tmp_path / "b", seed=2, repeats=repeats))
    done = cli("compare", a, b, "--fail-on", "regression>3%")
    assert done.code == 6 and "fewer than 3 repeats at c1, c2" in done.err
    assert "hint: measure at least 5 load levels" in done.err


def test_nothing_in_common(cli: Cli, tmp_path: Path) -> None:
    """Every point is named with the reason; across the field, they match."""
    a = _imported(cli, _files(tmp_path / "a"), "hardware=h100")
    b = _imported(cli, _files(tmp_path / "b", seed=2), "hardware=h200")
    done = cli("compare", a, b, "--fail-on", "regression>3%")
    assert done.code == 6 and "A and B have no matched points" in done.err
    assert "not compared: 5 of A: B has no such point: m on unknown, h100 unknown c1" in done.out
    wide = cli("compare", a, b, "--across", "hardware", "--fail-on", "regression>3%")
    assert wide.code == 0 and "differ in hardware h100 -> h200" in wide.out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--metric", "tpot"), "unknown metric 'tpot'"),
        (("--across", "colour"), "--across colour: not a field"),
        (("--fail-on", "worse"), "--fail-on worse: expected"),
        (("--fail-on", "e2e_s.p50>3%"), "the metric has no verdict"),
    ],
)
def test_wrong_use(cli: Cli, tmp_path: Path, args: tuple[str, ...], words: str) -> None:
    """Exit code 2 and two lines."""
    run = _imported(cli, _files(tmp_path / "a"))
    done = cli("compare", run, run, *args)
    assert done.code == 2 and words in done.err and "hint: " in done.err


def test_no_run_directory(cli: Cli, tmp_path: Path) -> None:
    """The same error as of other commands."""
    done = cli("compare", str(tmp_path), str(tmp_path))
    assert done.code == 2 and "is not a run directory" in done.err


HOSTILE = "<script>alert(1)</script> a|b *c* @you"


@pytest.fixture
def hostile_pair(cli: Cli, tmp_path: Path) -> tuple[str, str]:
    """A slower run of an engine whose name is markup."""
    a = _imported(cli, _files(tmp_path / "a"), f"engine={HOSTILE}")
    b = _imported(cli, _files(tmp_path / "b", slower=0.05, seed=2), f"engine={HOSTILE}")
    return a, b


def test_a_page_of_a_comparison(cli: Cli, hostile_pair: tuple[str, str]) -> None:
    """One file without script and network, every text escaped, verdicts and all rows in it; the
    exit code is that of the condition.
    """
    args = ("compare", *hostile_pair, "--format", "html", "--fail-on", "regression>3%")
    done = cli(*args)
    assert done.code == 7, done.err
    page = _Page()
    page.feed(done.out)
    assert page.open == [] and not {"script", "img", "link"} & page.tags
    assert "src" not in page.attributes and "href" not in page.attributes
    assert any(HOSTILE in text for text in page.texts)
    (policy,) = re.findall(r"style-src (.*?);", html.unescape(done.out))
    style = re.findall(r"<style>(.*?)</style>", done.out, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert policy == f"'sha256-{digest}'"
    assert {"worse", "no change"} <= set(page.texts)
    assert page.texts.count("ttft_s.p50") == 1 + len(LEVELS)


def test_a_summary_of_a_comparison(cli: Cli, hostile_pair: tuple[str, str]) -> None:
    """Markdown: verdicts first, tables with as many cells in each row; no markup of the run's."""
    done = cli("compare", *hostile_pair, "--format", "markdown")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "## Comparison" and lines[2].startswith("- **worse**: output")
    assert "<script" not in done.out and "@you" not in done.out and "*c*" not in done.out
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + 3 * len(LEVELS)
    tables = "\n".join(lines).split("\n\n")
    for table in tables:
        cells = {line.count("|") for line in table.splitlines() if line.startswith("|")}
        assert len(cells) <= 1


def test_json_is_a_format(cli: Cli, hostile_pair: tuple[str, str]) -> None:
    """`--json` is short for it."""
    short = cli("compare", *hostile_pair, "--json")
    assert short.out == cli("compare", *hostile_pair, "--format", "json").out
    assert json.loads(short.out)["schema"] == "tokenbench-comparison 1"


class _Page(HTMLParser):
    """Texts, tags and attributes of a page, and what is left open at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
