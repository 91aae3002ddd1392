"""Which requests meet the objectives, and the metrics of classes of traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tokenbench.load.records import ABSENT, Status, TokenSource, label_number
from tokenbench.suite.slo import Objective

from .arrays import NS_PER_S, Bools, Floats, Rows
from .definitions import PERCENTILES
from .percentiles import Metrics, percentile, statistics_of
from .window import Window


def tpot_s(ok: Rows) -> Floats:
    """TPOT of each turn; NaN if it has none."""
    tpot = np.full(len(ok), np.nan)
    has = (ok["last_ns"] > ok["first_ns"]) & (ok["first_ns"] != ABSENT) & (ok["n_out"] > 1)
    rows = ok[has]
    tpot[has] = (rows["last_ns"] - rows["first_ns"]) / NS_PER_S / (rows["n_out"] - 1)
    return tpot


def latencies_s(ok: Rows) -> dict[str, Floats]:
    """The times that objectives can limit, by name; NaN if a turn has none."""
    sent = ok["sent_first_ns"]
    ttft = (ok["first_ns"] - sent) / NS_PER_S
    return {
        "ttft": np.where(ok["token_source"] == TokenSource.NO_TOKENS, np.nan, ttft),
        "tpot": tpot_s(ok),
        "e2e": (ok["last_ns"] - sent) / NS_PER_S,
    }


def applies(objective: Objective, records: Rows) -> Bools:
    """Mask of the records that an objective limits: those of its class, or all."""
    if objective.label is None:
        return np.ones(len(records), np.bool_)
    mask: Bools = records["label"] == label_number(objective.label)
    return mask


def meets_objectives(records: Rows, objectives: Sequence[Objective]) -> Bools:
    """Mask of the successful records that meet every objective that applies to them."""
    good: Bools = records["status"] == Status.OK
    values = latencies_s(records)
    for objective in objectives:
        # A turn without TPOT (one token) cannot break a limit on it.
        late = values[objective.metric] > objective.limit_s
        good &= ~(late & applies(objective, records))
    return good


def goodput(
    records: Rows, objectives: Sequence[Objective], windows: Mapping[str, Window]
) -> Metrics:
    """Requests that meet every objective, by the window in which they ended."""
    names = ("goodput_req_s", "goodput_all_classes_req_s")
    if not objectives:
        return {f"{name}.{window}": None for name in names[:1] for window in windows}
    known = _are_measured(records, objectives)
    good = meets_objectives(records, objectives)
    hold = classes_hold(records, objectives) if known else None
    metrics: Metrics = {}
    for name, window in windows.items():
        ended = good if name == "whole" else good & window.holds(records["last_ns"])
        seconds = window.seconds
        rate = None if seconds is None or not known else int(np.count_nonzero(ended)) / seconds
        metrics[f"goodput_req_s.{name}"] = rate
        if any(objective.label is not None for objective in objectives):
            every = None if hold is None else rate if hold else 0.0
            metrics[f"goodput_all_classes_req_s.{name}"] = every
    return metrics


def _are_measured(records: Rows, objectives: Sequence[Objective]) -> bool:
    """Whether the values that the objectives limit are known.

    TPOT is not, if an answer has no token count, or if all answers came in one chunk each.
    """
    ok = records[records["status"] == Status.OK]
    for objective in objectives:
        rows = ok[applies(objective, ok) & (ok["n_out"] != 1)]
        if objective.metric == "tpot" and len(rows):
            values = tpot_s(rows)
            if np.any(rows["n_out"] == ABSENT) or np.all(np.isnan(values)):
                return False
    return True


def classes_hold(records: Rows, objectives: Sequence[Objective]) -> bool | None:
    """Whether each class meets each objective at the objective's percentile.

    An objective without a class applies to each class separately. None if a class had no request.
    """
    judged = records[records["status"] != Status.CANCELLED]
    labels = np.unique(judged["label"])
    hold = True
    for objective in objectives:
        mine = labels if objective.label is None else [label_number(objective.label)]
        for label in mine:
            rows = judged[judged["label"] == label]
            if not len(rows):
                return None
            hold &= _holds(rows, objective)
    return hold


def _holds(rows: Rows, objective: Objective) -> bool:
    ok = rows[rows["status"] == Status.OK]
    values = latencies_s(ok)[objective.metric]
    values = values[~np.isnan(values)]
    failed = len(rows) - len(ok)
    if objective.percentile == "mean":
        return not failed and (not len(values) or float(values.mean()) <= objective.limit_s)
    if not len(values) and not failed:
        return True  # No value that the objective could limit.
    rank = PERCENTILES[objective.percentile.replace(".", "_")]
    found = percentile(values, failed, rank)
    return found is not None and found <= objective.limit_s


def class_metrics(
    records: Rows,
    labels: Sequence[str],
    objectives: Sequence[Objective],
    windows: Mapping[str, Window],
) -> dict[str, Metrics]:
    """Requests, TTFT, TPOT, E2E latency and goodput of each label, by the names of metrics."""
    found: dict[str, Metrics] = {}
    for label in labels:
        rows = records[records["label"] == label_number(label)]
        ok = rows[rows["status"] == Status.OK]
        failed = len(rows) - len(ok) - int(np.count_nonzero(rows["status"] == Status.CANCELLED))
        metrics: Metrics = {"requests_ok": float(len(ok)), "requests_failed": float(failed)}
        for name, values in latencies_s(ok).items():
            metrics |= statistics_of(f"{name}_s", values[~np.isnan(values)])
        own = [o for o in objectives if o.label in (None, label)]
        if own:
            metrics |= {
                name: value
                for name, value in goodput(rows, own, windows).items()
                if name.startswith("goodput_req_s")
            }
        found[label] = metrics
    return found
