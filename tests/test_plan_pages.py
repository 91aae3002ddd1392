"""The pages with plans are what ``bench plan`` says today."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests_bench import SITE

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
try:
    import plan_pages
finally:
    sys.path.remove(str(ROOT / "tools"))


@pytest.mark.parametrize("page", plan_pages.PAGES, ids=lambda page: page.name)
def test_the_page_is_current(cli, monkeypatch: pytest.MonkeyPatch, page: plan_pages.Page) -> None:
    """Commands, origins and refusals; ``make reference`` writes it."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(ROOT)
    # The pages name all engines that there are.
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(SITE)])
    stored = (plan_pages.REFERENCE / page.name).read_text(encoding="utf-8")
    assert stored == plan_pages.text(page, cli), "run make reference"


def _workers() -> Iterator[str]:
    """The command of each worker of vLLM on the page with Dynamo's plans."""
    page = (plan_pages.REFERENCE / plan_pages.DYNAMO.name).read_text(encoding="utf-8")
    for block in re.split(r"^# ", page, flags=re.MULTILINE):
        if "python -m dynamo.vllm" in block:
            yield block.partition("python -m dynamo.vllm")[2].partition("```")[0]


def test_dynamo_s_workers_take_every_flag_of_vllm_s_plugin() -> None:
    """Against the parser of ``dynamo.vllm`` (tools/capture_dynamo_flags.py)."""
    file = ROOT / "plugins/engines/dynamo/tests/captured/flags-worker.json"
    flags = json.loads(file.read_text(encoding="utf-8"))["flags"]
    known = {name for flag in flags for name in (*flag["names"], *flag.get("negations", ()))}
    found = [set(re.findall(r"(?<=\s)--[a-z0-9-]+", command)) for command in _workers()]
    assert len(found) >= 4 and set.union(*found) <= known, set.union(*found) - known


def test_the_wide_plan_needs_twelve_hosts() -> None:
    """Four prefill workers on a host of four each, and a decode worker on eight of them."""
    page = (plan_pages.REFERENCE / plan_pages.DYNAMO.name).read_text(encoding="utf-8")
    assert "# prefill x 4, 4 accelerators each, worker of vllm" in page
    assert "# decode of 8 ranks, 32 accelerators, worker of vllm" in page
