"""What the plugin makes of the server's answers, recorded from a real one (data/README.md)."""

from __future__ import annotations

import sys
import venv
from pathlib import Path
from typing import Any

import pytest
from tokenbench_engine_vllm.counters import counters
from vllm_cases import engine, request

from tokenbench.api import Endpoint, Reply, UsageError, parse_metrics

_DATA = Path(__file__).parent / "data"
_NOT_FOUND = Reply(status=404, text='{"detail":"Not Found"}')


class Recorded:
    """A server that answers as the real one did; other paths do not exist."""

    endpoints = (
        Endpoint(
            role="server",
            index=0,
            url="http://127.0.0.1:1",
            metrics_url="http://127.0.0.1:1/metrics",
        ),
    )

    def __init__(self, **pages: str) -> None:
        self._pages = {
            "/version": _text("version.json"),
            "/v1/models": _text("models.json"),
            "/metrics": _text("metrics.txt"),
            "/reset_prefix_cache": '{"success":true}',
            **{f"/{name}": text for name, text in pages.items()},
        }

    def get(self, path: str, *, endpoint: int = 0) -> Reply:
        """The page."""
        text = self._pages.get(path)
        return _NOT_FOUND if text is None else Reply(status=200, text=text)

    def post(self, path: str, json: object = None, *, endpoint: int = 0) -> Reply:
        """The answer."""
        self.posted = path
        return self.get(path.partition("?")[0])


def _text(name: str) -> str:
    return (_DATA / name).read_text(encoding="utf-8")


def _counters(name: str) -> Any:
    return counters(parse_metrics(_text(name)))


def test_version_and_facts() -> None:
    """From `/version`, `/v1/models` and the metrics page."""
    assert engine().version(Recorded()) == "vllm 0.32.0"
    assert engine().facts(Recorded()) == {
        "max_model_len": "2048",
        "block_size": "128",
        "cache_dtype": "auto",
        "enable_prefix_caching": "True",
        "num_gpu_blocks": "364",
    }


def test_results_say_whether_acceptance_is_real() -> None:
    """Synthetic acceptance is a fact of the server, which every result carries."""
    drafting: dict[str, Any] = {"speculation": "ngram", "speculative_tokens": 3}
    assert engine(**drafting).facts(Recorded())["acceptance"] == "real"
    fake = engine(**drafting, synthetic_acceptance_length=2.5)
    assert fake.facts(Recorded())["acceptance"] == "synthetic 2.5"
    assert "acceptance" not in engine().facts(Recorded())
    # Results carry the version, and those of two versions are not one series.
    assert fake.version(Recorded()) == "vllm 0.32.0 (synthetic acceptance 2.5)"


def test_quiescent() -> None:
    """No request on any rank; unknown without a metrics page."""
    assert engine().quiescent(Recorded()) is True
    busy = _text("metrics-dp2.txt").replace(
        'num_requests_waiting{engine="1",model_name="tiny"} 0.0',
        'num_requests_waiting{engine="1",model_name="tiny"} 1.0',
    )
    assert busy != _text("metrics-dp2.txt")
    assert engine().quiescent(Recorded(metrics=busy)) is False
    assert engine().quiescent(Recorded(metrics="")) is None


def test_reset_cache() -> None:
    """True, False while blocks are in use, None for a server without the page."""
    server = Recorded()
    assert engine().reset_cache(server) is True
    # vLLM 0.32 leaves what is kept outside of it otherwise.
    assert server.posted == "/reset_prefix_cache?reset_external=true"
    assert engine().reset_cache(Recorded(reset_prefix_cache='{"success":false}')) is False

    class Without(Recorded):
        def post(self, path: str, json: object = None, *, endpoint: int = 0) -> Reply:
            return _NOT_FOUND

    assert engine().reset_cache(Without()) is None
    lmcache = engine(kv_offload="lmcache", kv_offload_gib=1.0)
    assert lmcache.reset_cache(Recorded()) is False


def test_counters_of_speculation() -> None:
    """4 drafts of 3 tokens, all accepted, by position."""
    found = _counters("metrics-ngram.txt")
    assert (found.drafts, found.draft_tokens, found.accepted_draft_tokens) == (4, 12, 12)
    assert found.accepted_by_position == (4, 4, 4)


def test_counters_of_two_ranks_are_added() -> None:
    """Each rank has a series of its own."""
    found = _counters("metrics-dp2.txt")
    assert (found.prompt_tokens, found.generated_tokens, found.requests) == (634, 36, 3)


def test_failed_requests_are_not_successful() -> None:
    """vLLM counts them as `request_success_total`, by reason."""
    text = _text("metrics.txt")
    aborted = text.replace('finished_reason="length"', 'finished_reason="abort"')
    assert aborted != text
    assert counters(parse_metrics(aborted)).requests == 0


def test_older_versions_count_hits() -> None:
    """Without `prompt_tokens_cached_total`, the hits of the prefix cache."""
    lines = _text("metrics.txt").splitlines()
    older = "\n".join(line for line in lines if "prompt_tokens_cached" not in line)
    assert counters(parse_metrics(older)).cached_prompt_tokens == 256


def test_the_planned_version_is_that_of_the_interpreter(tmp_path: Path) -> None:
    """Read from its metadata, without importing vLLM."""
    folder = tmp_path / "env"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    assert engine(python=str(python)).planned_version() is None
    (site,) = folder.glob("lib/python*/site-packages")
    info = site / "vllm-0.31.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.31.2\n")
    assert engine(python=str(python)).planned_version() == "vllm 0.31.2"


def test_the_interpreter_s_path_holds_in_any_folder(monkeypatch, tmp_path: Path) -> None:
    """A path is made absolute and its links stay; a plain name is looked up in PATH."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "python").symlink_to(sys.executable)
    (process,) = engine(python="./python").plan(request()).processes
    assert process.argv[0] == str(tmp_path / "python")
    (process,) = engine(python="python3").plan(request()).processes
    assert process.argv[0] == "python3"


def test_a_missing_interpreter_is_named(tmp_path: Path) -> None:
    """Before anything starts."""
    with pytest.raises(UsageError, match=r"no interpreter '.*/none/python'") as error:
        engine(python=str(tmp_path / "none/python")).planned_version()
    assert "set the engine's option python to one that has vllm" in error.value.hint


def test_an_interpreter_that_does_not_run(tmp_path: Path) -> None:
    """The version is unknown, and so is that of an environment without vLLM."""
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    assert engine(python=str(broken)).planned_version() is None
    assert engine(python=sys.executable).planned_version() is None
