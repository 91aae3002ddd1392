"""Bounds by hand, and which way each input moves them."""

from __future__ import annotations

import math
from typing import Any

import attrs
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenbench.api import Architecture, FrozenMap, Sku
from tokenbench.economics.speed_of_light import (
    Placement,
    ServedModel,
    Traffic,
    bounds,
    decoding_requests,
    least_bytes_per_weight,
    peak_flops,
    tokens_per_step,
)

DENSE = Architecture(parameters=1_200, vocabulary=10, hidden=10)
# 100 for embeddings, 100 for the head, 200 for attention, 10 experts of 100, 2 of them active.
SPARSE = Architecture(
    parameters=1_400, active_parameters=600, experts=10, active_experts=2, vocabulary=10, hidden=10
)
PLACE: dict[str, Any] = {
    "bandwidth_bytes_s": 1e6,
    "flops": 1e9,
    "decode_accelerators": 4.0,
    "replicas": 1.0,
    "prefill_accelerators": 0.0,
}
TRAFFIC: dict[str, Any] = {
    "input_tokens": 80.0,
    "output_tokens": 20.0,
    "concurrency": 8.0,
    "decoding": 5.0,
    "kv_bytes": 60.0,
}


def bound(shape: Architecture = SPARSE, weight: float = 1.0, **changed: Any) -> Any:
    """TPOT and throughput of points that differ from the above."""
    place = {name: changed.get(name, value) for name, value in PLACE.items()}
    extra = {name: value for name, value in changed.items() if name not in PLACE}
    model = ServedModel(architecture=shape, bytes_per_weight=weight)
    return bounds(model, Placement(**place), Traffic(**{**TRAFFIC, **extra}))


def test_weights_touched_by_hand() -> None:
    """One token: attention, head and two experts; many: all but the embeddings."""
    sparse = ServedModel(architecture=SPARSE, bytes_per_weight=1.0)
    touched = sparse.touched_weights(np.array([1.0, 2.0, 1e6]))
    # 300 + 200, then of the 10 experts 10 * (1 - 0.8^2) = 3.6.
    assert touched.tolist() == pytest.approx([500.0, 300 + 360.0, 1300.0])
    dense = ServedModel(architecture=DENSE, bytes_per_weight=1.0)
    assert dense.touched_weights(np.array([1.0, 64.0])).tolist() == [1100.0, 1100.0]


def test_expert_share_is_that_of_random_routing() -> None:
    """Experts that random tokens choose, counted."""
    rng = np.random.default_rng(1)
    shape = Architecture(
        parameters=256_000,
        active_parameters=8_000,
        experts=256,
        active_experts=8,
        vocabulary=0,
        hidden=0,
    )
    model = ServedModel(architecture=shape, bytes_per_weight=1.0)
    for tokens in (1, 7, 40):
        counts = [
            len({int(e) for _ in range(tokens) for e in rng.permutation(256)[:8]})
            for _ in range(100)
        ]
        (touched,) = model.touched_weights(np.array([float(tokens)]))
        assert touched / 1000 == pytest.approx(np.mean(counts), rel=0.02)


def test_tpot_by_hand() -> None:
    """A step of 5 sequences reads the touched weights and 5 caches over 4 accelerators."""
    step = 300 + 1000 * (1 - 0.8**5) + 5 * 60
    assert bound().tpot_s.values == pytest.approx([step / 4e6])
    # Two replicas have half of the accelerators and half of the sequences each.
    half = 300 + 1000 * (1 - 0.8**2.5) + 2.5 * 60
    assert bound(replicas=2.0).tpot_s.values == pytest.approx([half / 2e6])
    # Three tokens of each sequence go through the weights in one step.
    drafted = 300 + 1000 * (1 - 0.8**15) + 5 * 60
    assert bound(tokens_per_step=3.0).tpot_s.values == pytest.approx([drafted / 4e6 / 3])
    assert bound(weight=0.5).tpot_s.values == pytest.approx([((step - 300) / 2 + 300) / 4e6])


def test_throughput_by_hand() -> None:
    """Both resources in both roles; the slower one of an aggregated deployment counts."""
    each = 2 * (600 - 200) / 1e9
    reading = (300 + 1000 * (1 - 0.8**8) + 8 * 60) / 8 * 20 / 1e6
    assert reading > 100 * each
    assert bound().total_tok_s_per_accelerator.values == pytest.approx([100 / reading])
    slow = bound(flops=1e6).total_tok_s_per_accelerator.values
    assert slow == pytest.approx([1e6 / 800])
    # Apart: the accelerators of one role wait for the other.
    apart = bound(prefill_accelerators=1.0, flops=1e7).total_tok_s_per_accelerator.values
    prefill, decode = 1 / (80 * 800 / 1e7), 4 / reading
    assert apart == pytest.approx([min(prefill, decode) * 100 / 5])
    # What the cache had is served and not computed.
    hits = bound(flops=1e6, input_tokens=40.0, cached_tokens=40.0)
    assert hits.total_tok_s_per_accelerator.values == pytest.approx([1e6 * 100 / 60 / 800])


def test_shares_of_the_bound() -> None:
    """Both are 1 at the bound and carry the measured interval."""
    found = bound()
    tpot = float(found.tpot_s.values[0])
    assert found.tpot_share([tpot, 4 * tpot, None]).listed() == (1.0, 0.25, None)
    speed = float(found.total_tok_s_per_accelerator.values[0])
    assert found.throughput_share([speed / 5]).values == pytest.approx([0.2])


factors = st.floats(1.01, 100)


@given(factor=factors, sequences=st.floats(1, 1e4), tokens=st.floats(1, 8))
def test_more_of_each_moves_the_bound_the_right_way(
    factor: float, sequences: float, tokens: float
) -> None:
    """Bandwidth and accepted drafts speed a step up; sequences and cache slow it down. More in
    flight never lowers the bound of throughput.
    """
    base = bound(decoding=sequences, concurrency=sequences, tokens_per_step=tokens)

    def changed(**values: float) -> Any:
        return bound(
            **{
                "decoding": sequences,
                "concurrency": sequences,
                "tokens_per_step": tokens,
                **values,
            }
        )

    tpot, throughput = base.tpot_s.values[0], base.total_tok_s_per_accelerator.values[0]
    assert changed(bandwidth_bytes_s=1e6 * factor).tpot_s.values[0] < tpot
    assert changed(tokens_per_step=tokens * factor).tpot_s.values[0] < tpot
    assert changed(decoding=sequences * factor).tpot_s.values[0] > tpot
    assert changed(kv_bytes=60 * factor).tpot_s.values[0] > tpot
    more = changed(concurrency=sequences * factor).total_tok_s_per_accelerator.values[0]
    assert more >= throughput * (1 - 1e-12)


def test_no_bound_without_its_facts() -> None:
    """Each missing fact of the model or of a point is named, and gives None."""
    for name in ("parameters", "active_parameters", "experts", "active_experts", "vocabulary"):
        found = bound(attrs.evolve(SPARSE, **{name: None}))
        assert found.tpot_s.listed() == (None,) == found.total_tok_s_per_accelerator.listed()
        assert name in str(found.tpot_s.hints[0])
    assert "bytes_per_weight" in str(bound(weight=math.nan).tpot_s.hints[0])
    for name in (*PLACE, *TRAFFIC):
        found = bound(**{name: [None, {**PLACE, **TRAFFIC}[name]]})
        columns = (found.tpot_s, found.total_tok_s_per_accelerator)
        affected = [column for column in columns if column.listed()[0] is None]
        assert affected, name
        for column in affected:
            assert column.hints == (f"not known of this point: {name}", None)
            assert column.listed()[1] is not None


def test_a_chip_computes_in_the_next_wider_type() -> None:
    """fp4 weights on a chip without fp4 count as fp8; int8 and fp8 are alike; unknown is NaN."""
    chip = Sku(
        name="c",
        vendor="v",
        source="ours",
        date="2026",
        dense_flops=FrozenMap({"fp8": 4.0, "bf16": 2.0}),
    )
    assert [peak_flops(chip, p) for p in ("nvfp4", "fp8", "int8", "bf16")] == [4.0, 4.0, 4.0, 2.0]
    assert math.isnan(peak_flops(chip, "fp32")) and math.isnan(peak_flops(chip, "unknown"))
    assert math.isnan(least_bytes_per_weight("default"))


def test_assumed_acceptance_is_marked() -> None:
    """A measured acceptance is used; without one the most that is possible, and it says so."""
    found, assumed = tokens_per_step([True, True, False], [1.6, None, None], 3)
    assert found.tolist() == [2.6, 4.0, 1.0] and assumed.tolist() == [False, True, False]
    made = bound(tokens_per_step=found, assumed=assumed)
    assert made.assumed.tolist() == [False, True, False]
    assert made.tokens_per_step.tolist() == [2.6, 4.0, 1.0]
    # A model that speculates in an unknown way has no bound.
    unknown, _ = tokens_per_step([True], [None], None)
    assert bound(tokens_per_step=unknown).tpot_s.listed() == (None,)
    in_decoding = decoding_requests([8, None], 1.0, 4.0)
    assert in_decoding[0] == 6.0 and math.isnan(in_decoding[1])
