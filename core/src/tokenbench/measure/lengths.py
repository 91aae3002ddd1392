"""Lengths of prompts and responses against those that the workload asked for."""

from __future__ import annotations

import math

import attrs
import numpy as np

from tokenbench.api import Check, CheckOutcome
from tokenbench.load.records import ABSENT, Status

from .arrays import Floats, Rows
from .checks import above, below, not_assessed, percent, worst
from .evidence import Evidence
from .thresholds import CertificationThresholds

_MARKS = 2
"""Tokens that a server may add to a text prompt: beginning and end of the sequence."""
# If prompt lengths vary by this share of their median, they show whether extra tokens are a
# template: then their number varies by at most 2, one token merged at each edge of the template.
_MIN_VARIATION, _TEMPLATE_SPREAD = 0.1, 2


def lengths(evidence: Evidence, limits: CertificationThresholds) -> Check:
    """Output and prompt tokens, by the server's usage, against what the workload asked for."""
    name = "lengths"
    ok = evidence.records[evidence.records["status"] == Status.OK]
    if not len(ok):
        return not_assessed(name, "no request succeeded")
    checks = [
        *_reported(ok),
        *_output(ok, limits),
        *_plausible(ok, limits),
        *_prompts(evidence, limits),
    ]
    bad = [check for check in checks if check.outcome is not CheckOutcome.OK]
    text = "; ".join(check.evidence for check in bad or checks if check.evidence)
    return attrs.evolve(
        worst(checks), evidence=text or "no length asked; all token counts are possible"
    )


def _reported(ok: Rows) -> list[Check]:
    """A flagged check if any response has no token counts."""
    found = []
    for column, what in (
        ("n_out", "token counts and token rates are unknown"),
        ("n_in", "prompt lengths and input rates are unknown"),
    ):
        missing = int(np.count_nonzero(ok[column] == ABSENT))
        if not missing:
            continue
        text = "the server reports no usage"
        if missing < len(ok):
            text += f" for {missing} of {len(ok)} requests"
        elif column == "n_in":
            text = "the server reports no prompt tokens"
        found.append(_flagged(f"{text}: {what}"))
        break
    return found


def _output(ok: Rows, limits: CertificationThresholds) -> list[Check]:
    exact = ok[(ok["exact_output"] == 1) & (ok["n_out"] != ABSENT)]
    if not len(exact):
        return []
    share = float(np.mean(exact["n_out"] == exact["asked_out"]))
    text = f"{percent(share)} of {len(exact)} responses have the requested length"
    hint = "check that the server honours max_tokens and ignores the end of sequence"
    return [below("lengths", share, limits.output_length_share, text, "1", hint=hint)]


def _plausible(ok: Rows, limits: CertificationThresholds) -> list[Check]:
    """Impossible counts: more tokens than the limit, or fewer than chunks that have a token."""
    counted = ok[ok["n_out"] != ABSENT]
    if not len(counted):
        return []
    # A parser of reasoning or of tool calls may split one token into two chunks.
    fewer = counted["chunks"] > 1.02 * counted["n_out"] + 2
    more = (counted["asked_out"] > 0) & (counted["n_out"] > counted["asked_out"])
    share = float(np.mean(~(fewer | more)))
    text = f"{percent(1 - share)} of the responses have an impossible token count"
    hint = "the server's usage is wrong, or it ignores max_tokens"
    check = below("lengths", share, limits.output_length_share, text, "1", hint=hint)
    return [check if check.outcome is not CheckOutcome.OK else attrs.evolve(check, evidence="")]


def _prompts(evidence: Evidence, limits: CertificationThresholds) -> list[Check]:
    ok = evidence.records[evidence.records["status"] == Status.OK]
    prompts = ok[(ok["asked_in"] > 0) & (ok["n_in"] != ABSENT)]
    if not len(prompts):
        return []
    extra = template_tokens(evidence, limits)
    expected = prompts["asked_in"] + extra
    error = float(np.mean(np.abs(prompts["n_in"] - expected) / expected))
    mean, asked = prompts["n_in"].mean(), prompts["asked_in"].mean()
    text = f"mean error of prompt lengths {percent(error, 2)}"
    if extra:
        text += f", {'template' if evidence.prompt_form == 'chat' else 'BOS and EOS'} {extra:.0f}"
        text += " tokens"
    hint = f"prompts have {mean:.0f} tokens, {asked:.0f} asked: check the tokenizer"
    if evidence.prompt_form == "chat":
        hint += " and the chat template"
    check = above("lengths", error, limits.input_length_deviation, text, "1", hint=hint)
    if not evidence.approximate_lengths:
        return [check]
    return [
        attrs.evolve(
            check,
            outcome=CheckOutcome.FLAGGED,
            evidence=f"approximate prompt lengths: mean {mean:.0f} tokens, {asked:.0f} asked "
            f"(mean error {percent(error, 1)})",
        )
    ]


def template_tokens(evidence: Evidence, limits: CertificationThresholds) -> float:
    """Tokens that the server adds to each prompt: the median of the extra tokens.

    To token ids the server adds none, to a text at most a beginning and an end of the sequence, to
    messages the chat template. If prompt lengths vary, they show which extra tokens do not depend
    on the length. Otherwise the result is limited to the size of a plausible template, so that a
    wrong prompt length is not mistaken for one.
    """
    ok = evidence.records[evidence.records["status"] == Status.OK]
    prompts = ok[(ok["asked_in"] > 0) & (ok["n_in"] != ABSENT)]
    if not len(prompts) or evidence.prompt_form == "token ids":
        return 0.0
    requested = prompts["asked_in"].astype(np.float64)
    extra = prompts["n_in"] - requested
    constant = max(float(np.median(extra)), 0.0)
    if evidence.prompt_form != "chat":
        return min(constant, float(_MARKS))
    varied = np.ptp(requested) >= _MIN_VARIATION * np.median(requested)
    if varied and len(prompts) >= limits.min_requests:
        slope = _slope(requested, extra)
        if abs(slope) > limits.input_length_deviation.flag:
            constant = max(float(np.median(extra - slope * requested)), 0.0)
        elif np.ptp(np.percentile(extra, (5, 95))) <= _TEMPLATE_SPREAD:
            return constant
    return min(constant, float(limits.max_template_tokens))


def _slope(requested: Floats, extra: Floats) -> float:
    """Extra tokens per requested one, by least squares; 0 if chance explains it."""
    x, y = requested - requested.mean(), extra - extra.mean()
    slope = float(x @ y) / float(x @ x)
    error = math.sqrt(float(((y - slope * x) ** 2).sum()) / max(len(x) - 2, 1) / float(x @ x))
    return slope if abs(slope) > 3 * error else 0.0


def _flagged(text: str) -> Check:
    return Check(name="lengths", outcome=CheckOutcome.FLAGGED, evidence=text)
