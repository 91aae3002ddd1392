"""Files that GuideLLM, AIPerf and llm-d-benchmark wrote (see data/ORIGIN.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tokenbench.api import UsageError
from tokenbench.imports.draft import Draft
from tokenbench.imports.formats import read_file

DATA = Path(__file__).parent / "data"


def _sku(name: str) -> str:
    return {"NVIDIA-H100-80GB-HBM3": "h100"}.get(name, name)


def _read(file: Path) -> tuple[str, list[Draft]]:
    name, drafts, _ = read_file(file, _sku)
    return name, drafts


def test_guidellm_of_two_streams_and_four() -> None:
    """One draft per benchmark; E2E is in seconds; TPOT is ITL, not the time per token with TTFT."""
    name, drafts = _read(DATA / "guidellm-0.8.1-concurrent.json")
    assert name == "guidellm"
    assert [d.level.concurrency for d in drafts] == [2, 4] and [d.row for d in drafts] == [1, 2]
    metrics = drafts[0].metrics
    assert metrics["ttft_s.p50"] == pytest.approx(0.0645606517791748)
    assert metrics["tpot_s.p50"] == pytest.approx(0.00869031574415124)
    assert metrics["e2e_s.p50"] == pytest.approx(0.2657430171966553)
    # 24 tokens: E2E = TTFT + 23 TPOT, for the means.
    whole = metrics["ttft_s.mean"] + 23 * metrics["tpot_s.mean"]
    assert metrics["e2e_s.mean"] == pytest.approx(whole, rel=0.01)
    rate = metrics["output_tokens"] / metrics["duration_s.whole"]
    assert metrics["output_tok_s.whole"] == pytest.approx(rate, rel=1e-3)
    assert metrics["req_s.whole"] == pytest.approx(24 / metrics["duration_s.whole"], rel=1e-3)
    assert metrics["interactivity_tok_s.p99"] == 1 / metrics["tpot_s.p99"]
    assert drafts[0].model == "tiny" and drafts[0].date == "2026-11-30"
    assert drafts[0].notes == ()


def test_guidellm_of_a_rate() -> None:
    """An open loop with Poisson arrivals."""
    _, (draft,) = _read(DATA / "guidellm-0.8.1-poisson.json")
    assert (draft.level.rate_per_s, draft.level.arrival) == (5.0, "poisson")


def test_guidellm_with_unequal_answers_is_noted(tmp_path: Path) -> None:
    """Its TPOT then is not the distribution over requests."""
    document = json.loads((DATA / "guidellm-0.8.1-poisson.json").read_text())
    metrics = document["benchmarks"][0]["metrics"]
    metrics["output_token_count"]["successful"]["std_dev"] = 3.0
    file = tmp_path / "b.json"
    file.write_text(json.dumps(document))
    assert "once per token" in _read(file)[1][0].notes[0]


def test_aiperf() -> None:
    """The units are the file's own; a count of tokens that the server denies is noted."""
    name, (draft,) = _read(DATA / "aiperf-0.13.0.json")
    assert name == "aiperf" and draft.level.concurrency == 4 and draft.model == "tiny"
    assert draft.metrics["ttft_s.p50"] == pytest.approx(0.066021057)
    assert draft.metrics["itl_chunk_s.p50"] == pytest.approx(0.0085901895)
    assert draft.metrics["output_tok_s.whole"] == pytest.approx(735.934048989844)
    total = draft.metrics["input_tok_s.whole"] + draft.metrics["output_tok_s.whole"]
    assert draft.metrics["total_tok_s.whole"] == pytest.approx(total)
    assert draft.metrics["duration_s.whole"] == pytest.approx(2.73259008)
    assert "for 24 requests the server's own count differs" in draft.notes[0]


@pytest.mark.parametrize(
    ("phase", "expected"),
    [
        ({"type": "poisson", "rate": 3.0}, (3.0, "poisson", 1.0)),
        ({"type": "gamma", "rate": 3.0, "smoothness": 0.5}, (3.0, "gamma", 0.5)),
        ({"type": "constant", "rate": 2}, (2.0, "constant", 1.0)),
    ],
)
def test_rates_of_aiperf(tmp_path: Path, phase: dict[str, Any], expected: Any) -> None:
    """The rate phases that AIPerf 0.13.0 knows."""
    document = json.loads((DATA / "aiperf-0.13.0.json").read_text())
    document["input_config"]["phases"] = [{"kind": "warmup", "concurrency": 1}, phase]
    file = tmp_path / "a.json"
    file.write_text(json.dumps(document))
    level = _read(file)[1][0].level
    assert (level.rate_per_s, level.arrival, level.burstiness) == expected


def test_llmd_report_of_guidellm_is_the_guidellm_file() -> None:
    """The converter of llm-d-benchmark and this one agree: same metrics, in the same units."""
    _, (direct, _) = _read(DATA / "guidellm-0.8.1-concurrent.json")
    name, (report,) = _read(DATA / "llmd-0.2.1-guidellm.yaml")
    assert name == "llm-d" and report.level == direct.level and report.model == "tiny"
    shared = set(report.metrics) & set(direct.metrics)
    print(len(shared), "metrics")
    assert len(shared) >= 25
    for metric in shared:
        assert report.metrics[metric] == pytest.approx(direct.metrics[metric], rel=1e-9), metric


def _report(**standardized: Any) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DATA / "llmd-0.2.1-guidellm.yaml").read_text())
    engine = {"kind": "inference_engine", "tool": "vllm", "tool_version": "vllm:v0.11.0"}
    engine |= {"model": {"name": "m"}, "role": "replica", "replicas": 2}
    chip = {"model": "NVIDIA-H100-80GB-HBM3", "count": 8, "parallelism": {"tp": 8, "ep": 8}}
    document["scenario"]["stack"] = [
        {"standardized": {**engine, "accelerator": chip, **one}}
        for one in (standardized.get("engines") or [{}])
    ]
    document["scenario"]["stack"].append({"standardized": {"kind": "generic"}})
    return document


@pytest.mark.parametrize(
    ("engines", "accelerators", "roles", "layout"),
    [
        ([{}], 16, None, "tp8ep8"),
        (
            [{"role": "prefill", "replicas": 1}, {"role": "decode"}],
            24,
            {"prefill": 8, "decode": 16},
            "prefill:1xtp8ep8+decode:2xtp8ep8",
        ),
        ([{"accelerator": {"model": "x", "count": 0}}], None, None, "tp1"),
    ],
)
def test_stack_of_llmd(
    tmp_path: Path, engines: Any, accelerators: Any, roles: Any, layout: str
) -> None:
    """Counts are of one replica, and 0 is unknown (schema 0.2.1 of llmd-benchmark-report)."""
    file = tmp_path / "report.json"
    file.write_text(json.dumps(_report(engines=engines)))
    draft = _read(file)[1][0]
    assert (draft.accelerators, draft.layout) == (accelerators, layout)
    assert draft.roles == roles
    assert draft.hardware in ("h100", "x") and draft.engine == "vllm"


def test_gaps_of_unknown_generators_are_not_guessed(tmp_path: Path) -> None:
    """`inter_token_latency` is TPOT in one generator and the gap between chunks in another."""
    document = _report()
    load = document["scenario"]["load"]["standardized"]
    for tool, metric in (("vllm-benchmark", "itl_chunk_s.p50"), ("other", None)):
        load["tool"] = tool
        file = tmp_path / "report.json"
        file.write_text(json.dumps(document))
        metrics = _read(file)[1][0].metrics
        found = {name for name in metrics if name.endswith("p50") and name[:3] in ("itl", "tpo")}
        assert found == ({metric} if metric else set())


def test_unit_that_is_not_known(tmp_path: Path) -> None:
    """A unit is never guessed."""
    document = json.loads((DATA / "aiperf-0.13.0.json").read_text())
    document["time_to_first_token"]["unit"] = "fortnights"
    file = tmp_path / "a.json"
    file.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"time_to_first_token\.unit: expected a unit"):
        _read(file)
