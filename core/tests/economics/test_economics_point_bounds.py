"""The speed of light of results: what is known of a point, what is assumed, what is refused."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from tokenbench.api import (
    Architecture,
    DerivedColumn,
    Estimate,
    FrozenMap,
    LoadLevel,
    PointResult,
    Sku,
)
from tokenbench.economics.attach import with_metrics
from tokenbench.economics.definitions import SPEED_OF_LIGHT
from tokenbench.economics.layouts import decoding_replicas, wide_ep
from tokenbench.economics.point_bounds import speed_of_light
from tokenbench_testing.samples import views

CHIP = Sku(
    name="chip",
    vendor="v",
    source="s",
    date="d",
    memory_bandwidth_bytes_s=1e12,
    dense_flops=FrozenMap({"bf16": 1e15}),
)
# 1e9 weights that a step reads; 100 numbers per token in the cache; 100 weights of embeddings.
DENSE = Architecture(
    parameters=1_000_000_100, layers=1, hidden=10, vocabulary=10, kv_heads=1, head_dim=50
)


def point(**changes: Any) -> PointResult:
    """8 requests in flight on one chip, 6 of them in decoding; 1,000 tokens in, 200 out."""
    metrics = {
        "tpot_s.p50": 0.01,
        "ttft_s.mean": 1.0,
        "e2e_s.mean": 4.0,
        "total_tok_s_per_accelerator.whole": 1000.0,
        "input_tok_s.whole": 1000.0,
        "output_tok_s.whole": 200.0,
        "req_s.whole": 1.0,
        **changes.pop("metrics", {}),
    }
    facts: dict[str, Any] = {
        "layout": "tp1",
        "accelerators": 1,
        "speculation": "none",
        "metrics": FrozenMap(
            {
                name: Estimate(mean=value, half_width=None, values=(value,))
                for name, value in metrics.items()
                if value is not None
            }
        ),
    }
    return views.point(8, **{**facts, **changes})


def found(
    result: PointResult, chip: Sku | None = CHIP, model: Architecture | None = DENSE
) -> dict[str, float | None]:
    """The columns' entries of one point."""
    columns = speed_of_light([result], [chip], [model])
    return {column.name: column.values[0] for column in columns}


def test_bounds_by_hand() -> None:
    """6 sequences in decoding read 2e9 bytes of weights and 6 x 1,100 x 100 of cache; a request
    costs 1,200 tokens x 2e9 operations, or 1/8 of the reading of each of its 200 steps.
    """
    shares = found(point())
    tpot = (2e9 + 6 * 1100 * 100) / 1e12
    assert shares["tpot_bound_s"] == pytest.approx(tpot, rel=1e-6)
    assert shares["tpot_bound_share.p50"] == pytest.approx(tpot / 0.01, rel=1e-6)
    reading = (2e9 + 8 * 1100 * 100) / 8 * 200 / 1e12
    computing = 1200 * 2e9 / 1e15
    assert reading > computing
    bound = 1200 / reading
    assert shares["total_tok_s_per_accelerator_bound"] == pytest.approx(bound, rel=1e-6)
    assert shares["throughput_bound_share.whole"] == pytest.approx(1000 / bound, rel=1e-6)
    assert shares["throughput_bound_share.steady"] is None
    assert shares["assumed_tokens_per_step"] is None


def test_lengths_come_from_the_workload_where_they_were_not_measured() -> None:
    """Uniform from 0.25 x 1,600 to 1,600 tokens, and 200 tokens: the same bound as measured."""
    options = {"input_tokens": 1600, "input_range": 0.25, "output_tokens": 200, "output_range": 1.0}
    silent = dict.fromkeys(("input_tok_s.whole", "output_tok_s.whole", "req_s.whole"))
    nominal = point(workload_options=FrozenMap(options), metrics=silent)
    assert found(nominal)["tpot_bound_s"] == found(point())["tpot_bound_s"]


def test_an_arrival_rate_has_as_many_requests_in_flight_as_littles_law_says() -> None:
    """2 requests per second that take 4 seconds are 8."""
    metrics = {"req_s.whole": 2.0, "input_tok_s.whole": 2000.0, "output_tok_s.whole": 400.0}
    level = LoadLevel(rate_per_s=2.0, arrival="poisson")
    opened = found(attrs.evolve(point(metrics=metrics), level=level))
    assert opened["tpot_bound_s"] == found(point())["tpot_bound_s"]


@pytest.mark.parametrize(
    ("result", "chip", "model", "hint"),
    [
        (point(), None, DENSE, "bandwidth_bytes_s"),
        (point(), CHIP, None, "architecture is not known"),
        (point(precision=None), CHIP, DENSE, "bytes_per_weight"),
        (point(precision="unknown"), CHIP, DENSE, "bytes_per_weight"),
        (point(speculation=None), CHIP, DENSE, "tokens_per_step"),
        (point(speculation="eagle"), CHIP, DENSE, "tokens_per_step"),
        (point(accelerators=None), CHIP, DENSE, "decode_accelerators"),
        (point(metrics={"e2e_s.mean": None}), CHIP, DENSE, "decoding"),
        (point(metrics={"e2e_s.mean": 0.0}), CHIP, DENSE, "decoding"),
        (point(accelerators=0), CHIP, DENSE, ""),
    ],
)
def test_what_is_unknown_has_no_share(
    result: PointResult, chip: Sku | None, model: Architecture | None, hint: str
) -> None:
    """Never a guess: no bound, no share, no assumption; the hint names what is not known."""
    columns = {c.name: c for c in speed_of_light([result], [chip], [model])}
    for name in ("tpot_bound_share.p50", "tpot_bound_s", "assumed_tokens_per_step"):
        assert columns[name].values == (None,)
    assert hint in (columns["tpot_bound_s"].hints[0] or "")


def test_accepted_draft_tokens_divide_the_bound() -> None:
    """As measured, or the most of the method, which is then stated."""
    plain = found(point())["tpot_bound_s"]
    assert plain is not None
    measured = found(point(speculation=None, metrics={"acceptance_length.server": 2.0}))
    assert measured["tpot_bound_s"] == pytest.approx(plain / 2)
    assert measured["assumed_tokens_per_step"] is None
    assumed = found(point(speculation="mtp"))
    assert assumed["tpot_bound_s"] == pytest.approx(plain / 4)
    assert assumed["assumed_tokens_per_step"] == 4.0


def test_sparse_attention_and_windows_read_less_cache() -> None:
    """None of a sparse cache is counted, and no more than the window of a sliding one."""
    windowed = attrs.evolve(DENSE, sliding_layers=1, sliding_window=500)
    sparse = attrs.evolve(DENSE, index_dim=8)
    for model, cached in ((windowed, 500 * 100), (sparse, 0)):
        bound = found(point(), model=model)["tpot_bound_s"]
        assert bound == pytest.approx((2e9 + 6 * cached) / 1e12, rel=1e-9)


def test_tokens_of_the_prefix_cache_are_not_computed() -> None:
    """Of 1,000 tokens in, half were in the cache: 700 tokens are computed, 1,200 served."""
    slow = attrs.evolve(CHIP, dense_flops=FrozenMap({"bf16": 1e12}))
    bound = found(point(metrics={"cached_prompt_share.server": 0.5}), chip=slow)
    speed = bound["total_tok_s_per_accelerator_bound"]
    assert speed == pytest.approx(1200 / (700 * 2e9 / 1e12), rel=1e-6)


@pytest.mark.parametrize(
    ("metrics", "computed"),
    [
        ({"cached_input_share": 0.5, "theoretical_hit_share": 0.8}, 500 + 200),
        ({"theoretical_hit_share": 0.8}, 200 + 200),
        ({"theoretical_hit_share": 0.0}, 1000 + 200),
        ({}, 200),
    ],
)
def test_unknown_cache_hits_do_not_lower_the_bound(
    metrics: dict[str, float], computed: int
) -> None:
    """By the responses; else at most the tokens that the prompts share, which may be all."""
    slow = attrs.evolve(CHIP, dense_flops=FrozenMap({"bf16": 1e12}))
    speed = found(point(metrics=metrics), chip=slow)["total_tok_s_per_accelerator_bound"]
    assert speed == pytest.approx(1200 / (computed * 2e9 / 1e12), rel=1e-6)


@pytest.mark.parametrize(
    ("layout", "roles", "replicas", "wide"),
    [
        ("tp8", None, 1, False),
        ("tp8ep8dpa", None, 1, False),
        ("dp4", None, 4, False),
        ("dp16ep16", None, 1, True),
        ("prefill:2xtp4+decode:3xtp8ep8dpa", {"prefill": 8, "decode": 24}, 3, False),
        ("prefill:tp4+decode:tp8ep32dpa", {"prefill": 4, "decode": 32}, 1, True),
        ("prefill-a:2xtp4+fast:3xtp8ep16", {"prefill": 8, "decode": 48}, 1, True),
        ("something else", None, 1, None),
    ],
)
def test_layouts(layout: str, roles: Any, replicas: int, wide: bool | None) -> None:
    """Replicas that decode, and whether experts are spread wide."""
    result = point(layout=layout, roles=roles and FrozenMap(roles), accelerators=None)
    assert decoding_replicas(result) == replicas
    assert wide_ep(result) is wide


def test_servers_behind_a_router() -> None:
    """Four accelerators with a layout of two are two replicas; three are not whole servers."""
    counts = [decoding_replicas(point(layout="tp2", accelerators=n)) for n in (1, 2, 3, 4)]
    assert counts == [1, 1, 1, 2]
    assert decoding_replicas(point(layout="tp2dp2ep4", accelerators=8)) == 2


def test_points_of_several_models_keep_their_places() -> None:
    """Groups by model and precision are put back in order."""
    results = [point(), point(precision="fp8"), point()]
    columns = speed_of_light(results, [CHIP] * 3, [DENSE, DENSE, None])
    bound = next(c for c in columns if c.name == "tpot_bound_s").values
    assert bound[0] is not None and bound[1] is not None and bound[2] is None
    assert bound[1] == pytest.approx((1e9 + 6 * 1100 * 100) / 1e12, rel=1e-6)
    assert {c.name for c in columns} == {d.name for d in SPEED_OF_LIGHT}


def test_derived_numbers_become_metrics() -> None:
    """Of the right point, across runs; an unknown one stays away, an exact one has no interval."""
    column = DerivedColumn(
        name="d", values=(1.0, None, 3.0), half_widths=(0.5, None, 0.0), hints=(None,) * 3
    )
    runs = (views.run(point(), point()), views.run(point()))
    first, second = with_metrics(runs, [column])
    assert first.results[0].metrics["d"] == Estimate(mean=1.0, half_width=0.5, values=())
    assert "d" not in first.results[1].metrics
    assert second.results[0].metrics["d"].half_width is None
    assert "tpot_s.p50" in first.results[1].metrics
