"""The definitions of the numbers that are derived from metrics: costs, power, speed of light."""

from __future__ import annotations

from collections.abc import Iterator

from tokenbench.api import MetricDefinition

PER_MILLION = "USD/Mtok"
WINDOWS = ("steady", "whole")
KINDS = ("total", "input", "output")
ROLES = {"input": "prefill", "output": "decode"}
_COST = "Rate in US dollars per accelerator-hour / (`{speed}` x 3600 / 1e6)."
_CARRIES = {
    "total": "",
    "input": " It carries the whole machine: never add it to the cost of output tokens.",
    "output": " It carries the whole machine: never add it to the cost of input tokens.",
}
_ALL_IN = (
    "Provisioned (all-in) power includes the accelerator's share of host, network and cooling; it "
    "is a planning figure, not measured."
)
SPEED = "total_tok_s_per_accelerator"
TPOT = "tpot_bound_share.p50"
THROUGHPUT = "throughput_bound_share"
ASSUMED = "assumed_tokens_per_step"
_PAGE = "docs/explanation/speed-of-light.md"

SPEED_OF_LIGHT = (
    MetricDefinition(
        name=TPOT,
        title="share of the speed of light, TPOT",
        unit="1",
        definition="`tpot_bound_s` / `tpot_s.p50`: 1 is as fast as the chips' memory bandwidth "
        f"allows. Formula and assumptions: {_PAGE}.",
        higher_is_better=True,
    ),
    *(
        MetricDefinition(
            name=f"{THROUGHPUT}.{window}",
            title=f"share of the speed of light, throughput, {window}",
            unit="1",
            definition=f"`{SPEED}.{window}` / `{SPEED}_bound`: 1 is as much as the chips' FLOP/s "
            f"and memory bandwidth allow. Formula and assumptions: {_PAGE}.",
            higher_is_better=True,
        )
        for window in WINDOWS
    ),
    MetricDefinition(
        name="tpot_bound_s",
        title="bound of TPOT",
        unit="s",
        definition="The least time per output token: bytes that a decode step must read / memory "
        f"bandwidth. Formula and assumptions: {_PAGE}.",
    ),
    MetricDefinition(
        name=f"{SPEED}_bound",
        title="bound of the total throughput per accelerator",
        unit="tok/s/accelerator",
        definition="The most input and output tokens per second and accelerator, by FLOP/s and by "
        f"memory bandwidth. Formula and assumptions: {_PAGE}.",
    ),
    MetricDefinition(
        name=ASSUMED,
        title="assumed tokens per decode step",
        unit="tok",
        definition="Tokens of a sequence per decode step that the bounds assume, where the model "
        "speculates and the result has no acceptance: 1 + the most draft tokens. Empty where the "
        f"number is known. Assumptions: {_PAGE}.",
    ),
)
"""Shares of the speed of light, the bounds themselves, and what they assume."""


def _costs() -> Iterator[MetricDefinition]:
    for window in WINDOWS:
        label = "steady state" if window == "steady" else "whole time"
        for kind in KINDS:
            speed = f"{kind}_tok_s_per_accelerator.{window}"
            yield MetricDefinition(
                name=f"usd_per_million_{kind}_tokens.{window}",
                title=f"cost of {kind} tokens, {label}",
                unit=PER_MILLION,
                definition=_COST.format(speed=speed) + _CARRIES[kind],
                higher_is_better=False,
            )
            yield MetricDefinition(
                name=f"{kind}_tok_s_per_mw.{window}",
                title=f"{kind} throughput per provisioned MW, {label}",
                unit="tok/s/MW",
                definition=f"`{speed}` x 1e6 / provisioned watts per accelerator. {_ALL_IN}",
                higher_is_better=True,
            )
            yield MetricDefinition(
                name=f"provisioned_j_per_{kind}_token.{window}",
                title=f"provisioned energy per {kind} token, {label}",
                unit="J/tok",
                definition=f"Provisioned watts per accelerator / `{speed}`. {_ALL_IN}",
                higher_is_better=False,
            )
        for kind, role in ROLES.items():
            speed = f"{kind}_tok_s_per_{role}_accelerator.{window}"
            yield MetricDefinition(
                name=f"usd_per_million_{kind}_tokens_of_{role}.{window}",
                title=f"cost of {kind} tokens, {role} accelerators only, {label}",
                unit=PER_MILLION,
                definition=f"{_COST.format(speed=speed)} Disaggregated deployments only; the costs "
                "of both roles add up.",
                higher_is_better=False,
            )


COSTS = tuple(_costs())
"""Costs per token and provisioned power, at a set of rates."""
DERIVED = (*SPEED_OF_LIGHT, *COSTS)
"""All derived numbers."""
