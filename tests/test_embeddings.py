"""Embeddings of a real server: answers without tokens."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests_bench import measured

from tokenbench.load.records import TokenSource
from tokenbench.store.records import read_records

if TYPE_CHECKING:
    from tests_bench import Bench

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
_LLAMA = ("--engine", "llamacpp:embeddings=true", "--model", "smollm2")
_SHORT = ("--repeats", "1", "--seed", "3", "--allow-invalid", "--reporter", "console")


def _check(result: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (check for check in result["checks"] if check["name"] == name)
    return dict(found)


def test_embeddings_of_llamacpp(bench: Bench) -> None:
    """Requests, input tokens and E2E latency are measured; what needs tokens is None, and no check
    fails for it. Input tokens are the server's own count.
    """
    pytest.importorskip("xllamacpp")
    done = bench(
        "run",
        *_LLAMA,
        *("--workload", "embeddings:input_tokens=40,batch=3", "--concurrency", "2"),
        *("--requests", "8", *_SHORT),
        *("--slo", "e2e_p99<60s"),
        timeout_s=240.0,
    )
    assert done.code == 0, done.err
    (result,) = measured(bench)
    values = {name: metric["mean"] for name, metric in result["metrics"].items()}
    assert values["requests_ok"] == 8 and values["requests_failed"] == 0
    assert values["input_tokens"] == 8 * 120
    for name in ("req_s.whole", "input_tok_s.whole", "e2e_s.p50", "goodput_req_s.whole"):
        assert values[name] > 0, name
    without = ("ttft_s.p50", "tpot_s.p50", "itl_token_s.p50", "output_tokens", "output_tok_s.whole")
    for name in (*without, "total_tok_s.whole", "interactivity_tok_s.p50"):
        assert values[name] is None, name
    assert not any(name.startswith("ttft_") and values[name] is not None for name in values)
    for name in ("lengths", "failures", "coalesced reads"):
        assert _check(result, name)["outcome"] == "ok", _check(result, name)
    assert "TPOT" not in _check(result, "precision")["evidence"]
    (folder,) = bench.run_directory.glob("points/*/repeat-0")
    records, _, _ = read_records(folder)
    assert set(records["token_source"]) == {TokenSource.NO_TOKENS}
    assert set(records["n_in"]) == {120} and set(records["n_out"]) == {0}
    counters = json.loads((folder / "counters.json").read_text())
    before, after = counters["before"]["prompt_tokens"], counters["after"]["prompt_tokens"]
    print(f"the server counted {after - (before or 0.0)} prompt tokens")


@pytest.mark.parametrize(
    ("engine", "workload", "slo", "words"),
    [
        ("llamacpp:embeddings=true", "random:input_tokens=16", "e2e<1s", "no tokens"),
        ("llamacpp", "embeddings:input_tokens=16", "e2e<1s", "generates text"),
        ("llamacpp:embeddings=true", "embeddings:input_tokens=16", "ttft<1s", "limits ttft"),
    ],
)
def test_what_does_not_fit_is_refused(
    bench: Bench, engine: str, workload: str, slo: str, words: str
) -> None:
    """Before the server starts, with the true cause."""
    pytest.importorskip("xllamacpp")
    run = ("run", "--engine", engine, "--model", "smollm2", "--workload", workload, "--slo", slo)
    done = bench(*run)
    assert done.code == 2, done.err
    error, _ = done.complaint
    assert words in error
    assert not list(bench.folder.glob("runs/*/logs/*/server*.log"))
