"""What engines refuse by the facts of a model and of a chip, and with which arithmetic."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tokenbench.api import (
    Architecture,
    EngineRequest,
    FrozenMap,
    HardwareFacts,
    Layout,
    Parsers,
    ServingNeeds,
    Sku,
    UsageError,
    Weights,
    all_local,
    check_experts,
    check_heads,
    check_memory,
    check_precision,
    check_stages,
    drafting_weights,
    interpreter_path,
    is_dense,
    parser_name,
    required_context,
    sequence_bytes,
)

_GIB = 1 << 30
_DENSE = Architecture(
    parameters=10 * _GIB, layers=4, heads=8, kv_heads=2, head_dim=64, context_tokens=1000
)
_MIXTURE = Architecture(parameters=10 * _GIB, layers=4, heads=8, experts=16, mtp_heads=1)
_CHIP = Sku(
    name="chip",
    vendor="v",
    source="test",
    date="2026-12-01",
    memory_bytes=10 * _GIB,
    precisions=("fp8",),
)


def _weights(precision: str = "fp8", source: str = "file:/m", purpose: str = "main") -> Weights:
    return Weights(precision=precision, format="hf", source=source, revision="r", purpose=purpose)


def _request(shape: Architecture = _DENSE, **more: Any) -> EngineRequest:
    return EngineRequest(
        **{
            "model": "m",
            "served_name": "m",
            "weights": _weights(),
            "architecture": shape,
            "hardware": HardwareFacts(kind="k", sku="chip", count=1, chip=_CHIP),
            "layout": Layout(),
            "needs": ServingNeeds(context_tokens=500),
            **more,
        }
    )


def test_dense() -> None:
    """By experts, or by the parameters that a token uses; an unknown shape is not dense."""
    assert is_dense(_DENSE) and not is_dense(_MIXTURE) and not is_dense(Architecture())
    assert not is_dense(Architecture(parameters=2, active_parameters=1, layers=1))


def test_bytes_of_a_sequence() -> None:
    """4 layers x 2 KV heads x 2 x 64 values, by data type; the state does not grow."""
    for dtype, each in ((None, 2), ("auto", 2), ("bf16", 2), ("fp8_e4m3", 1), ("float32", 4)):
        assert sequence_bytes(_DENSE, 10, dtype) == 10 * 1024 * each
    assert sequence_bytes(_DENSE, 10, "nvfp4") == 10 * 512
    assert sequence_bytes(Architecture(), 10, None) is None


def test_context() -> None:
    """What is asked for, else what the workloads need, at most the model's."""
    assert (required_context(_request()), required_context(_request(), 700)) == (500, 700)
    with pytest.raises(UsageError, match="a context of 1001 tokens is required, m supports 1000"):
        required_context(_request(), 1001)


def test_precision() -> None:
    """fp4 arithmetic; other precisions are the engine's matter."""
    check_precision(_request(), hint="x")
    with pytest.raises(UsageError, match="does not compute in fp4") as refused:
        check_precision(_request(weights=_weights("nvfp4")), hint="ask for it")
    assert "ask for it" in str(refused.value.hint)


def _fits(shape: Architecture, ranks: int, replicated: int, share: float = 0.9) -> None:
    check_memory(
        _request(shape),
        ranks=ranks,
        replicated=replicated,
        share=share,
        context=500,
        kv_dtype=None,
    )


def test_memory() -> None:
    """10 GiB of weights and a cache on 9 GiB: the arithmetic, and what would do. Experts are spread
    over all ranks, the weights of a dense model over those of one replica.
    """
    with pytest.raises(UsageError, match=r"weights 10\.0 GiB .* 1 x chip x 10\.0 GiB x 0\.9 = 9"):
        _fits(_DENSE, 1, 1)
    _fits(_DENSE, 2, 1)
    with pytest.raises(UsageError, match="does not fit"):
        _fits(_DENSE, 2, 2)
    _fits(_MIXTURE, 2, 2)


def test_degrees() -> None:
    """Heads, KV heads, layers and experts."""
    for tp in (1, 2, 4, 8):
        check_heads(_DENSE, "m", tp=tp)
    with pytest.raises(UsageError, match=r"8 attention heads .* \(8 / 3 = 2\.667\)") as refused:
        check_heads(_DENSE, "m", tp=3)
    assert "tp=1 or 2" in str(refused.value.hint)
    with pytest.raises(UsageError, match="3 KV heads"):
        check_heads(Architecture(heads=8, kv_heads=3), "m", tp=2)
    check_heads(Architecture(heads=8, kv_heads=3, latent_dim=1), "m", tp=2)
    check_stages(_DENSE, "m", pp=4)
    with pytest.raises(UsageError, match="4 layers, fewer than stages"):
        check_stages(_DENSE, "m", pp=5)
    check_experts(_MIXTURE, "m", ep=16)
    with pytest.raises(UsageError, match="16 experts, fewer than ranks"):
        check_experts(_MIXTURE, "m", ep=32)
    with pytest.raises(UsageError, match="no experts"):
        check_experts(_DENSE, "m", ep=2)


def test_what_drafts() -> None:
    """The model's own weights for the method, or what the user names."""
    extra = FrozenMap({"head": _weights(purpose="eagle")})
    asked = _request(extra_weights=extra)
    assert drafting_weights(asked, "ngram") is None
    assert drafting_weights(asked, "eagle3") == "{weights:head}"
    assert drafting_weights(asked, "draft", "org/small") == "org/small"
    assert drafting_weights(_request(_MIXTURE), "mtp") is None
    for named in ("org/small", "head"):
        with pytest.raises(UsageError, match=f"={named}: speculation=ngram uses no weights"):
            drafting_weights(asked, "ngram", named)
    for method, message in (("draft", "needs weights for drafting"), ("mtp", "no MTP heads")):
        with pytest.raises(UsageError, match=message):
            drafting_weights(asked, method)


def test_what_is_downloaded() -> None:
    """Weights of the hub, also those that draft."""
    hub = _weights(source="hub:org/name", purpose="eagle")
    asked = _request(extra_weights=FrozenMap({"head": hub}))
    assert all_local(asked) and all_local(asked, "/folder")
    assert not all_local(asked, "{weights:head}") and not all_local(asked, "org/small")


@pytest.mark.parametrize(("asked", "found"), [(None, 200), (200, 200), (300, 300), (199, None)])
def test_a_context_has_room_for_what_the_workloads_need(asked: int, found: int | None) -> None:
    """A server with less would refuse every request of that length."""
    request = _request(needs=ServingNeeds(context_tokens=200))
    if found is not None:
        assert required_context(request, asked) == found
        return
    with pytest.raises(UsageError, match=r"199 tokens is too small: .* has up to 200"):
        required_context(request, asked)


def test_parsers() -> None:
    """``model`` is the name in the model's facts."""
    facts = Parsers(engine="e", tool="t", source="test", date="2026-12-01")
    asked = _request(parsers=facts)
    assert parser_name(asked, "model", "tool", "E") == "t"
    assert parser_name(asked, "other", "tool", "E") == "other"
    with pytest.raises(UsageError, match="m names no reasoning parser of E") as refused:
        parser_name(asked, "model", "reasoning", "E")
    assert "reasoning_parser=NAME" in str(refused.value.hint)


def test_interpreters() -> None:
    """A path becomes absolute, a name is looked up where the process runs."""
    assert interpreter_path(None) == sys.executable
    assert interpreter_path("python3") == "python3"
    assert Path(interpreter_path("~/v/bin/python")).is_absolute()
