"""What the plugin makes of the server's answers, recorded from a real one (data/README.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
from sglang_cases import engine

from tokenbench.api import Endpoint, Reply, parse_metrics

_DATA = Path(__file__).parent / "data"
_NOT_FOUND = Reply(status=404, text='{"detail":"Not Found"}')


class Recorded:
    """A server that answers as the real one did; other paths do not exist."""

    def __init__(self, *, roles: tuple[str, ...] = ("server",), **pages: Any) -> None:
        self.endpoints = tuple(
            Endpoint(
                role=role,
                index=index,
                url="http://127.0.0.1:1",
                metrics_url="http://127.0.0.1:1/metrics",
            )
            for index, role in enumerate(roles)
        )
        self.asked: list[tuple[str, int]] = []
        self._pages = {
            "/server_info": _text("server_info.json"),
            "/v1/models": _text("models.json"),
            "/metrics": _text("metrics.txt"),
            "/health_generate": "",
            "/readiness": '{"status":"ready"}',
            "/flush_cache": "Cache flushed.\n",
            **{f"/{name}": text for name, text in pages.items()},
        }

    def get(self, path: str, *, endpoint: int = 0) -> Reply:
        """The page; None stands for a server that refuses."""
        self.asked.append((path, endpoint))
        if path not in self._pages:
            return _NOT_FOUND
        text = self._pages[path]
        return Reply(status=503, text="") if text is None else Reply(status=200, text=text)

    def post(self, path: str, json: object = None, *, endpoint: int = 0) -> Reply:
        """The answer."""
        return self.get(path, endpoint=endpoint)


def _text(name: str) -> str:
    return (_DATA / name).read_text(encoding="utf-8")


def _counters(text: str, role: str = "server") -> Any:
    return engine().counters((parse_metrics(text, role=role),))


def test_version_and_facts() -> None:
    """From the server's page of itself and `/v1/models`; older versions have another name."""
    assert engine().version(Recorded()) == "sglang 0.5.23"
    older = Recorded(server_info=None, get_server_info=_text("server_info.json"))
    assert engine().version(older) == "sglang 0.5.23"
    facts = engine().facts(Recorded())
    assert facts["max_model_len"] == "8192"
    assert (facts["attention_backend"], facts["page_size"]) == ("torch_native", "1")
    assert facts["disable_radix_cache"] == "False"
    assert "speculative_algorithm" not in facts and "acceptance" not in facts


def test_results_say_whether_acceptance_is_real() -> None:
    """Synthetic acceptance is a fact of the server, which every result carries."""
    drafting: dict[str, Any] = {"speculation": "mtp", "speculative_tokens": 3}
    assert engine(**drafting).facts(Recorded())["acceptance"] == "real"
    fake = engine(**drafting, synthetic_acceptance_length=2.5)
    assert fake.facts(Recorded())["acceptance"] == "synthetic 2.5"
    # Results carry the version, and those of two versions are not one series.
    assert fake.version(Recorded()) == "sglang 0.5.23 (synthetic acceptance 2.5)"


def test_ready() -> None:
    """Every server generates, and the router has them; it is not asked to generate itself."""
    both = Recorded(roles=("router", "server", "server"))
    assert engine().ready(both) is True
    assert both.asked == [("/readiness", 0), ("/health_generate", 1), ("/health_generate", 2)]
    assert engine().ready(Recorded(roles=("router", "server"), readiness=None)) is False
    assert engine().ready(Recorded(health_generate=None)) is False


def test_quiescent() -> None:
    """No request is running or waiting; unknown without a metrics page."""
    assert engine().quiescent(Recorded()) is True
    idle = 'num_queue_reqs{engine_type="unified",model_name="tiny",moe_ep_rank="0",pp_rank="0"'
    busy = _text("metrics.txt").replace(f'{idle},tp_rank="0"}} 0.0', f'{idle},tp_rank="0"}} 1.0')
    assert busy != _text("metrics.txt")
    assert engine().quiescent(Recorded(metrics=busy)) is False
    assert engine().quiescent(Recorded(metrics="")) is None


def test_reset_cache() -> None:
    """Of every server, not of the router; False while one has requests."""
    several = Recorded(roles=("router", "server", "server"))
    assert engine().reset_cache(several) is True
    assert several.asked == [("/flush_cache", 1), ("/flush_cache", 2)]
    assert engine().reset_cache(Recorded(flush_cache=None)) is False


def test_further_hosts_answer_no_requests() -> None:
    """Rank 1 of a replica has health and metrics only."""
    server = Recorded(roles=("server", "server"))
    first, second = server.endpoints
    server.endpoints = (first, attrs.evolve(second, index=0, rank=1))
    assert engine().ready(server) and engine().reset_cache(server)
    assert server.asked == [("/health_generate", 0), ("/flush_cache", 0)]


def test_without_a_hit() -> None:
    """The counter of cached tokens appears with the first hit: until then it is 0, not unknown."""
    lines = _text("metrics.txt").splitlines(keepends=True)
    found = _counters("".join(line for line in lines if "cached_tokens_total" not in line))
    assert (found.cached_prompt_tokens, found.external_cached_prompt_tokens) == (0.0, 0.0)
    empty = _counters("")
    assert (empty.cached_prompt_tokens, empty.external_cached_prompt_tokens) == (None, None)


_LABELS = 'engine_type="unified",model_name="tiny"'


def test_data_parallel_ranks_and_stages() -> None:
    """Gauges of two ranks are added; those of a second pipeline stage are of the same requests."""
    rank = 'dp_rank="1",pp_rank="0",tp_rank="1"'
    stage = 'dp_rank="0",pp_rank="1",tp_rank="0"'
    page = _text("metrics.txt") + "".join(
        f"sglang:{name}{{{_LABELS},{where}}} {value}\n"
        for where in (rank, stage)
        for name, value in (
            ("num_running_reqs", 3.0),
            ("max_total_num_tokens", 8192.0),
            ("token_usage", 0.5),
        )
    )
    found = _counters(page)
    assert (found.running, found.kv_capacity_tokens, found.kv_usage) == (3.0, 16384.0, 0.5)


def test_sources_of_cached_tokens() -> None:
    """What HiCache read from the host's memory or from storage is external."""
    page = _text("metrics.txt") + "".join(
        f'sglang:cached_tokens_total{{cache_source="{source}",{_LABELS}}} {value}\n'
        for source, value in (("host", 100.0), ("storage_file", 7.0))
    )
    found = _counters(page)
    assert found.cached_prompt_tokens == 299 + 107
    assert found.external_cached_prompt_tokens == 107


def test_speculation() -> None:
    """44 tokens: four are the first of an answer, ten those of verifications, 30 were drafted."""
    page = _text("metrics.txt").replace("sglang:spec_num_draft_tokens{", "sglang:_old{")
    page += f"sglang:spec_verify_calls_total{{{_LABELS}}} 10.0\n"
    page += f'sglang:spec_num_draft_tokens{{{_LABELS},pp_rank="0"}} 4.0\n'
    found = _counters(page)
    assert (found.drafts, found.draft_tokens, found.accepted_draft_tokens) == (10.0, 30.0, 30.0)
    without = _counters(_text("metrics.txt"))
    assert (without.drafts, without.accepted_draft_tokens) == (None, None)


def test_prefill_and_decode_apart() -> None:
    """Each prompt counts once, as prefill counts it, and each answer as decode counts it."""
    page = _text("metrics.txt")
    prefill = parse_metrics(page, role="prefill")
    decode = parse_metrics(page.replace('"device"', '"host"'), role="decode")
    found = engine().counters((prefill, decode))
    assert (found.prompt_tokens, found.generated_tokens, found.requests) == (638.0, 44.0, 4.0)
    assert found.external_cached_prompt_tokens == 0.0
    assert found.queue_time_s is not None and found.queue_time_s.count == 6
