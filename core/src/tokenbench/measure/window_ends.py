"""How far a steady throughput depends on where its window begins and ends.

Requests of a closed loop may run in step: all wait for first tokens, then all receive tokens. A
window that ends while they wait counts too few tokens. It does so in every repeat, so the spread
over repeats does not show the error. In an open loop the server is idle at first, so the tokens of
the first requests arrive late; in a short window too few are counted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .arrays import Floats, Ints
from .batch_means import with_derived
from .evidence import Evidence
from .metrics import tokens_by_chunk


def relative_deviations(repeats: Sequence[Evidence]) -> dict[str, float]:
    """The error of each throughput in the steady state, over its value; mean over the repeats.

    The throughput is compared with another estimate. Closed loop: a request in flight at an end of
    the window counts with the share of its time, not with the tokens that it has received. Open
    loop: the window begins one request time (p90) after the first arrival.
    """
    found: dict[str, list[float]] = {}
    for evidence in repeats:
        for name, deviation in _deviations(evidence).items():
            found.setdefault(name, []).append(deviation)
    return with_derived({name: abs(float(np.mean(values))) for name, values in found.items()})


def _deviations(evidence: Evidence) -> dict[str, float]:
    window, ok = evidence.steady, evidence.ok
    if window.seconds is None or not len(ok):
        return {}
    arrived = tokens_by_chunk(ok, evidence.chunks)
    every = np.arange(len(ok))
    counted: dict[str, tuple[Ints, Floats, Ints]] = {
        "output_tok_s.steady": (arrived.ns, arrived.tokens, arrived.turn),
        "req_s.steady": (ok["last_ns"], np.ones(len(ok)), every),
    }
    if bool((ok["n_in"] >= 0).all()):
        counted["input_tok_s.steady"] = (ok["first_ns"], ok["n_in"].astype(np.float64), every)
    found = {}
    for name, (ns, amounts, turns) in counted.items():
        total = float(amounts[window.holds(ns)].sum())
        if not total:
            continue
        if evidence.phase.concurrency is None:
            found[name] = _idle_start(evidence, ns, amounts) / total
        else:
            at_start, at_end = (
                _outstanding(evidence, edge, ns, amounts, turns)
                for edge in (window.start_ns, window.end_ns)
            )
            found[name] = (at_end - at_start) / total
    if {"output_tok_s.steady", "input_tok_s.steady"} <= set(found):
        found["total_tok_s.steady"] = _of_total(found, evidence)
    if "req_s.steady" in found:
        found["goodput_req_s.steady"] = found["req_s.steady"]
    return found


def _outstanding(evidence: Evidence, edge: int, ns: Ints, amounts: Floats, turns: Ints) -> float:
    """Amounts of the requests in flight at `edge`: by the share of their time, less those received.

    Args:
        ns, amounts, turns: time, amount and request of each arrival.
    """
    ok = evidence.ok
    sent, last = ok["sent_first_ns"], ok["last_ns"]
    in_flight = (sent < edge) & (edge < last)
    share = np.where(in_flight, (edge - sent) / np.maximum(last - sent, 1), 0.0)
    received = amounts[(ns <= edge) & in_flight[turns]].sum()
    return float((share[turns] * amounts).sum() - received)


def _idle_start(evidence: Evidence, ns: Ints, amounts: Floats) -> float:
    """The amount that the whole window would have at the rate of its later part, less its own."""
    window, ok = evidence.steady, evidence.ok
    length = window.end_ns - window.start_ns
    request_ns = float(np.percentile(ok["last_ns"] - ok["sent_first_ns"], 90))
    begin = window.start_ns + min(request_ns, length / 2)
    later = float(amounts[(ns > begin) & (ns <= window.end_ns)].sum())
    inside = float(amounts[window.holds(ns)].sum())
    return later * length / (window.end_ns - begin) - inside


def _of_total(found: dict[str, float], evidence: Evidence) -> float:
    """The error of the total, from those of input and output tokens, weighted by throughput."""
    output = evidence.metrics.get("output_tok_s.steady") or 0.0
    read = evidence.metrics.get("input_tok_s.steady") or 0.0
    both = found["output_tok_s.steady"] * output + found["input_tok_s.steady"] * read
    return both / (output + read) if output + read else 0.0
