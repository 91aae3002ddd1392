"""How far a steady throughput depends on where its window begins and ends.

Requests of a closed loop may run in step: all wait for first tokens, then all receive. A window
that ends while they wait counts too few tokens, in every repeat alike, so the spread over repeats
does not show it. In an open loop the first requests find an idle server: their tokens come later
than they, and a short window does not make up for that.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .arrays import Floats, Ints
from .batch_means import with_derived
from .evidence import Evidence
from .metrics import tokens_by_chunk


def relative_deviations(repeats: Sequence[Evidence]) -> dict[str, float]:
    """By how much each steady throughput is off, over its value; the mean over the repeats.

    Closed loop: a request in flight at an end of the window counts by the share of its time, not by
    the tokens that it has received. Open loop: the window begins when the server is in use, one
    request time (p90) after the first arrival.
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
                _owed(evidence, edge, ns, amounts, turns)
                for edge in (window.start_ns, window.end_ns)
            )
            found[name] = (at_end - at_start) / total
    if {"output_tok_s.steady", "input_tok_s.steady"} <= set(found):
        found["total_tok_s.steady"] = _of_total(found, evidence)
    if "req_s.steady" in found:
        found["goodput_req_s.steady"] = found["req_s.steady"]
    return found


def _owed(evidence: Evidence, edge: int, ns: Ints, amounts: Floats, turns: Ints) -> float:
    """What requests in flight at `edge` would have by the share of their time, less what they have.

    Args:
        ns, amounts, turns: when how much arrived, for which request.
    """
    ok = evidence.ok
    sent, last = ok["sent_first_ns"], ok["last_ns"]
    in_flight = (sent < edge) & (edge < last)
    share = np.where(in_flight, (edge - sent) / np.maximum(last - sent, 1), 0.0)
    received = amounts[(ns <= edge) & in_flight[turns]].sum()
    return float((share[turns] * amounts).sum() - received)


def _idle_start(evidence: Evidence, ns: Ints, amounts: Floats) -> float:
    """What would be counted more in the whole window at the rate of its part that begins later."""
    window, ok = evidence.steady, evidence.ok
    length = window.end_ns - window.start_ns
    request_ns = float(np.percentile(ok["last_ns"] - ok["sent_first_ns"], 90))
    begin = window.start_ns + min(request_ns, length / 2)
    later = float(amounts[(ns > begin) & (ns <= window.end_ns)].sum())
    inside = float(amounts[window.holds(ns)].sum())
    return later * length / (window.end_ns - begin) - inside


def _of_total(found: dict[str, float], evidence: Evidence) -> float:
    """That of input and output tokens, by their parts of the total."""
    output = evidence.metrics.get("output_tok_s.steady") or 0.0
    read = evidence.metrics.get("input_tok_s.steady") or 0.0
    both = found["output_tok_s.steady"] * output + found["input_tok_s.steady"] * read
    return both / (output + read) if output + read else 0.0
