"""Rows that InferenceX publishes: CSV, or JSON as its API gives it.

A row of JSON has the metrics in `metrics`; otherwise fields have the names of the CSV's columns.
Names and units were read in published rows, captured on 2026-06-14.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

import attrs

from tokenbench.api import DECODE, PREFILL, FrozenMap, LoadLevel

from .draft import UNKNOWN, Draft
from .fields import Fields, Scalar

REQUIRED = ("hardware", "framework", "model", "precision", "conc", "tput_per_gpu")
TIMES = MappingProxyType(
    {
        "ttft": "ttft_s",
        "tpot": "tpot_s",
        "itl": "itl_chunk_s",
        "e2el": "e2e_s",
        "intvty": "interactivity_tok_s",
    }
)
"""Field after the statistic (seconds; `intvty`: tokens/s of a user) -> our metric."""
STATISTICS = MappingProxyType(
    {
        "mean": "mean",
        "median": "p50",
        "p75": "p75",
        "p90": "p90",
        "p95": "p95",
        "p99": "p99",
        "p99.9": "p99_9",
    }
)
ENGINES = MappingProxyType(
    {
        "trt": "trtllm",
        "dynamo-trt": "dynamo-trtllm",
        "mori-sglang": "sglang-mori",
    }
)
"""Frameworks whose engine has another name in tokenbench."""
AGREEMENT = 1e-3
"""Relative difference up to which figures of a row agree."""
_INTERACTIVITY_AGREEMENT = 1e-6
_PLACED = {
    *("hardware", "framework", "model", "precision", "spec_method", "disagg", "isl", "osl", "conc"),
    *("date", "run_url", "metrics", "tput_per_gpu", "input_tput_per_gpu", "output_tput_per_gpu"),
    *("joules_per_total_token", "joules_per_input_token", "joules_per_output_token"),
    *("prefill_joules_per_input_token", "decode_joules_per_output_token"),
    *("total_gpu_energy_j", "joules_per_successful_query"),
    *(f"{statistic}_{time}" for statistic in STATISTICS for time in TIMES),
}


@attrs.frozen
class _Row:
    """A row's configuration and metrics, with the numbers that every step needs."""

    about: Fields
    figures: Fields
    disaggregated: bool
    prefill: int
    decode: int
    accelerators: int
    notes: tuple[str, ...]


def read(rows: Iterable[Fields], sku: Callable[[str], str]) -> list[Draft]:
    """One draft per row."""
    return [_draft(fields, sku) for fields in rows]


def _draft(about: Fields, sku: Callable[[str], str]) -> Draft:
    figures = about.section("metrics") if about.get("metrics") is not None else about
    about.require(*(key for key in REQUIRED if key != "tput_per_gpu"))
    figures.require("tput_per_gpu")
    row = _row(about, figures)
    framework = about.word("framework") or UNKNOWN
    image = about.word("image")
    random = about.get("isl") is not None
    metrics = {**_times(figures), **_throughputs(row), **_energy(row)}
    if random:
        # By their protocol, prompts are random tokens that share nothing.
        metrics["theoretical_hit_share"] = 0.0
    return Draft(
        file=about.place.file.name,
        row=about.place.row,
        engine=ENGINES.get(framework, framework),
        engine_version=None if image is None else image.rpartition(":")[2],
        model=about.word("model") or UNKNOWN,
        precision=about.word("precision"),
        hardware=sku(about.word("hardware") or UNKNOWN),
        accelerators=row.accelerators,
        layout=_layout(row),
        roles=FrozenMap({PREFILL: row.prefill, DECODE: row.decode}) if row.disaggregated else None,
        speculation=about.word("spec_method"),
        workload="random" if random else UNKNOWN,
        workload_options=_lengths(about),
        level=_level(about),
        metrics=metrics,
        date=about.word("date"),
        url=about.word("run_url"),
        fields=_rest(row),
        notes=(*row.notes, *_contradictions(row)),
        separate=True,
    )


def _row(about: Fields, figures: Fields) -> _Row:
    """Number of accelerators of a row. Rows of one server state it twice. Older rows state tp x ep,
    although ep adds no accelerators: their throughput, concurrency and latency imply max(tp, ep).
    """
    prefill, decode = about.count("num_prefill_gpu"), about.count("num_decode_gpu")
    if about.flag("disagg"):
        about.require("num_prefill_gpu", "num_decode_gpu")
        assert prefill is not None and decode is not None
        return _Row(about, figures, True, prefill, decode, prefill + decode, ())
    tp, ep = about.count("decode_tp") or 1, about.count("decode_ep") or 1
    stated, expected = decode or max(tp, ep), max(tp, ep)
    notes: tuple[str, ...] = ()
    if stated != expected and stated == tp * ep:
        notes = (f"the row states {stated} accelerators; tp {tp} and ep {ep} take {expected}",)
        stated = expected
    return _Row(about, figures, False, stated, stated, stated, notes)


def _level(about: Fields) -> LoadLevel:
    concurrency = about.count("conc")
    if not concurrency:
        raise about.wrong("conc", "at least 1", about.get("conc"))
    return LoadLevel(concurrency=concurrency)


def _lengths(about: Fields) -> FrozenMap[Scalar]:
    """Lengths of InferenceX's protocol: uniform in [0.8 L, L]."""
    lengths = {"input_tokens": about.count("isl"), "output_tokens": about.count("osl")}
    known: dict[str, Scalar] = {name: value for name, value in lengths.items() if value is not None}
    if known:
        known |= {"input_range": 0.8, "output_range": 0.8}
    return FrozenMap(known)


def _times(figures: Fields) -> dict[str, float]:
    """Latencies and interactivity; each statistic from the field of the same statistic."""
    found = {
        f"{metric}.{ours}": figures.number(f"{theirs}_{field}")
        for field, metric in TIMES.items()
        for theirs, ours in STATISTICS.items()
    }
    return {name: value for name, value in found.items() if value is not None}


def _throughputs(row: _Row) -> dict[str, float]:
    total, into, out = (_per_gpu(row, name) for name in ("tput", "input_tput", "output_tput"))
    assert total is not None
    found: dict[str, float | None] = {"total_tok_s_per_accelerator.whole": total}
    if not row.disaggregated:
        found["input_tok_s_per_accelerator.whole"] = into
        found["output_tok_s_per_accelerator.whole"] = out
        found["input_tok_s.whole"] = _times_count(into, row.accelerators)
        found["output_tok_s.whole"] = _times_count(out, row.accelerators)
        found["total_tok_s.whole"] = total * row.accelerators
    else:
        found["input_tok_s_per_prefill_accelerator.whole"] = into
        found["output_tok_s_per_decode_accelerator.whole"] = out
        if not _split_contradicts(row):
            found["input_tok_s.whole"] = _times_count(into, row.prefill)
            found["output_tok_s.whole"] = _times_count(out, row.decode)
            found["total_tok_s.whole"] = total * row.accelerators
    return {name: value for name, value in found.items() if value is not None}


def _per_gpu(row: _Row, name: str) -> float | None:
    return row.figures.number(f"{name}_per_gpu")


def _times_count(value: float | None, count: int) -> float | None:
    return None if value is None else value * count


def _energy(row: _Row) -> dict[str, float]:
    """Energy of the accelerators. `avg_power_w` is the mean of one accelerator.

    In disaggregated rows, energy per input and output token was that of one role. Rows with a
    version of the power metrics state the whole deployment's, and a role's under the role's name.
    """
    joules = {
        side: row.figures.number(f"joules_per_{side}_token")
        for side in ("total", "input", "output")
    }
    local = row.disaggregated and row.figures.number("power_metric_schema_version") is None
    sides = {"input": PREFILL, "output": DECODE} if local else {}
    found = {
        f"energy_j_per_{side}_token.{sides.get(side, 'accelerator')}": value
        for side, value in joules.items()
    }
    for side, role in (("input", PREFILL), ("output", DECODE)):
        if (value := row.figures.number(f"{role}_joules_per_{side}_token")) is not None:
            found[f"energy_j_per_{side}_token.{role}"] = value
    found["energy_j.accelerator"] = row.figures.number("total_gpu_energy_j")
    found["energy_j_per_request.accelerator"] = row.figures.number("joules_per_successful_query")
    found["power_w.accelerator"] = _times_count(row.figures.number("avg_power_w"), row.accelerators)
    return {name: value for name, value in found.items() if value is not None}


def _layout(row: _Row) -> str:
    if not row.disaggregated:
        return _degrees(row.about, DECODE)
    parts = []
    for role in (PREFILL, DECODE):
        workers = row.about.count(f"{role}_num_workers")
        parts.append(f"{role}:{f'{workers}x' if workers else ''}{_degrees(row.about, role)}")
    return "+".join(parts)


def _degrees(about: Fields, role: str) -> str:
    """The degrees of parallelism of a role, as ``tp8ep8dpa``."""
    degrees = [
        (axis, about.count(f"{role}_{axis}") or 1) for axis in ("tp", "pp", "ep", "dcp", "pcp")
    ]
    text = "".join(f"{axis}{degree}" for axis, degree in degrees if degree > 1) or "tp1"
    return text + ("dpa" if about.flag(f"{role}_dp_attention") else "")


def _contradictions(row: _Row) -> list[str]:
    """Contradicting figures of the row."""
    found = []
    if _split_contradicts(row):
        stated = f"{row.prefill} + {row.decode}" if row.disaggregated else str(row.accelerators)
        found.append(
            "inconsistent: the throughput of both roles is not the total throughput with the "
            f"{stated} accelerators that the row states"
        )
    elif (ratio := _by_littles_law(row)) is not None and not 0.5 <= ratio <= 2:
        found.append(
            f"doubtful: the output throughput is {ratio:.2g} times what the requests in flight, "
            "their length and their latency give (Little's law)"
        )
    times = _times(row.figures)
    for name, tpot in times.items():
        if not name.startswith("tpot_s."):
            continue
        rate = times.get(name.replace("tpot_s.", "interactivity_tok_s."))
        if rate is not None and abs(rate * tpot - 1) > _INTERACTIVITY_AGREEMENT:
            found.append(f"inconsistent: interactivity is not 1 / TPOT ({name.rpartition('.')[2]})")
    return found


def _by_littles_law(row: _Row) -> float | None:
    """Output throughput / (requests in flight x mean answer / mean latency), where an answer has
    0.9 x osl tokens in the mean. In published rows it is 0.88 to 1.3.
    """
    out, latency = _per_gpu(row, "output_tput"), row.figures.number("mean_e2el")
    in_flight, tokens = row.about.count("conc"), row.about.count("osl")
    if not out or not latency or not in_flight or not tokens:
        return None
    return out * row.decode * latency / (in_flight * 0.9 * tokens)


def _split_contradicts(row: _Row) -> bool:
    """Whether input and output throughput differ from the total by more than `AGREEMENT`."""
    total, into, out = (_per_gpu(row, name) for name in ("tput", "input_tput", "output_tput"))
    if total is None or into is None or out is None:
        return False
    if row.disaggregated:
        total, into, out = total * row.accelerators, into * row.prefill, out * row.decode
    return abs(total - into - out) > AGREEMENT * total


def _rest(row: _Row) -> FrozenMap[Scalar]:
    """Values without a field or metric, under InferenceX's names. This includes the standard
    deviation of interactivity, which published rows state as 1 / that of TPOT, a number without
    meaning.
    """
    values: dict[str, Scalar] = {}
    for source in (row.about, row.figures):
        kept = {k: v for k, v in source.values.items() if k not in _PLACED and v not in ("", None)}
        values |= {key: _scalar(source, key, value) for key, value in kept.items()}
    values["framework"] = row.about.word("framework")
    return FrozenMap(values)


def _scalar(source: Fields, key: str, value: object) -> Scalar:
    if isinstance(value, Mapping | list):
        return str(value)
    if source.text and re.fullmatch(r"(true|false)", str(value)):
        return source.flag(key)
    if source.text and re.fullmatch(r"-?[0-9.]+(e[-+]?[0-9]+)?", str(value)):
        number = source.number(key)
        return int(str(value)) if str(value).isdigit() else number
    return value if isinstance(value, str | int | float | bool) else str(value)
