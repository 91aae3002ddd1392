"""The registry: every metric that is computed from records, with its one definition.

A metric's name carries its unit and, after a dot, the statistic (``ttft_s.p99``), the window
(``output_tok_s.steady``) or the power domain (``energy_j_per_request.host``).
:data:`DEFINITIONS_VERSION` is part of a point's identity: raise it when a definition changes.
"""

from __future__ import annotations

from types import MappingProxyType

import attrs

from tokenbench.api import MetricDefinition

DEFINITIONS_VERSION = 1

PERCENTILES = MappingProxyType(
    {"p50": 50.0, "p75": 75.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p99_9": 99.9}
)
"""Statistic's name to percentile."""
STATISTICS = ("mean", *PERCENTILES)
WINDOWS = ("whole", "steady")

_OVER = "Exact, over all requests that succeeded, linear interpolation."
_WHOLE = "Over the phase's whole wall time, from its start to the end of its last request."
_STEADY = (
    "Over the steady state: closed loop from the C-th dispatch to the last one, open loop from "
    "the first to the last scheduled arrival. None where that has no length."
)


@attrs.frozen
class Family:
    """A metric with several statistics. `text` is its definition without the statistic."""

    name: str
    title: str
    unit: str
    text: str
    higher_is_better: bool | None = False

    def of(self, statistic: str) -> MetricDefinition:
        """The definition of one statistic."""
        return MetricDefinition(
            name=f"{self.name}.{statistic}",
            title=f"{self.title}, {_spoken(statistic)}",
            unit=self.unit,
            definition=f"{_spoken(statistic).capitalize()} of {self.text}. {_OVER}",
            higher_is_better=self.higher_is_better,
        )


def _spoken(statistic: str) -> str:
    return statistic.replace("_", ".")


DISTRIBUTIONS = (
    Family("ttft_s", "TTFT", "s", "first token-bearing chunk's arrival minus first byte sent"),
    Family(
        "ttft_from_schedule_s",
        "TTFT from schedule",
        "s",
        "first token-bearing chunk's arrival minus the time the request was scheduled for",
    ),
    Family("upload_s", "upload time", "s", "last byte sent minus first byte sent"),
    Family(
        "dispatch_delay_s",
        "dispatch delay",
        "s",
        "first byte sent minus the time the request was scheduled for (the client's own fault)",
    ),
    Family("e2e_s", "E2E latency", "s", "last token-bearing chunk's arrival minus first byte sent"),
    Family(
        "e2e_from_schedule_s",
        "E2E latency from schedule",
        "s",
        "last token-bearing chunk's arrival minus the time the request was scheduled for",
    ),
    Family(
        "tpot_s",
        "TPOT",
        "s",
        "(last - first token-bearing chunk's arrival) / (output tokens - 1); requests with one "
        "token, one chunk or no streaming have none",
    ),
    Family(
        "itl_chunk_s",
        "ITL per chunk",
        "s",
        "the gaps between token-bearing chunks; withheld where the client itself merged too many",
    ),
    Family(
        "itl_token_s",
        "ITL per token",
        "s",
        "the gaps between tokens, a chunk of k tokens counting as k gaps of a k-th each; only "
        "where the number of tokens of every chunk is known",
    ),
)


def _interactivity() -> list[MetricDefinition]:
    found = [
        MetricDefinition(
            name=f"interactivity_tok_s.{statistic}",
            title=f"interactivity, {_spoken(statistic)}",
            unit="tok/s/user",
            definition=f"1 / {_spoken(statistic)} of TPOT: inverted from the same statistic, so "
            "that a high percentile is a slow user's.",
            higher_is_better=True,
        )
        for statistic in STATISTICS
    ]
    found.append(
        MetricDefinition(
            name="normalised_interactivity_tok_s",
            title="normalised interactivity",
            unit="tok/s/user",
            definition=f"1 / p90 of (E2E latency / output tokens). {_OVER}",
            higher_is_better=True,
        )
    )
    return found


RATES = (
    ("output_tok_s", "output throughput", "tok/s", "output tokens / seconds"),
    ("input_tok_s", "input throughput", "tok/s", "input tokens / seconds"),
    ("total_tok_s", "total throughput", "tok/s", "input and output tokens / seconds"),
    ("req_s", "request throughput", "req/s", "completed requests / seconds"),
    ("goodput_req_s", "goodput", "req/s", "completed requests within the user's SLOs / seconds"),
)
PER_ACCELERATOR = ("output_tok_s", "input_tok_s", "total_tok_s")
PER_ROLE = (("input_tok_s", "prefill"), ("output_tok_s", "decode"))
_COUNTED = {
    "whole": "Tokens are all those of requests that succeeded.",
    "steady": "Output tokens count when they arrive, input tokens when the first output token "
    "arrives, requests when the last one does; only of requests that succeeded.",
}


def _rates() -> list[MetricDefinition]:
    found = []
    for window, over in zip(WINDOWS, (_WHOLE, _STEADY), strict=True):
        tail = f"{over} {_COUNTED[window]}"
        for name, title, unit, text in RATES:
            found.append(_rate(f"{name}.{window}", f"{title}, {window}", unit, f"{text}. {tail}"))
        for name, title, unit, text in RATES:
            if name in PER_ACCELERATOR:
                found.append(
                    _rate(
                        f"{name}_per_accelerator.{window}",
                        f"{title} per accelerator, {window}",
                        f"{unit}/accelerator",
                        f"{text} / all accelerators of the deployment. {tail}",
                    )
                )
        for name, role in PER_ROLE:
            found.append(
                _rate(
                    f"{name}_per_{role}_accelerator.{window}",
                    f"{name.split('_')[0]} throughput per {role} accelerator, {window}",
                    "tok/s/accelerator",
                    f"{name.split('_')[0]} tokens / seconds / {role} accelerators; only where "
                    f"prefill and decode run apart. {tail}",
                )
            )
    return found


def _rate(name: str, title: str, unit: str, definition: str) -> MetricDefinition:
    return MetricDefinition(
        name=name,
        title=title,
        unit=unit,
        definition=definition[0].upper() + definition[1:],
        higher_is_better=True,
    )


_PLAIN = (
    ("requests_ok", "requests that succeeded", "requests", "Requests that succeeded.", True),
    (
        "requests_failed",
        "requests that failed",
        "requests",
        "Requests that failed; those the client cancelled itself are not among them.",
        False,
    ),
    (
        "input_tokens",
        "input tokens",
        "tok",
        "Prompt tokens of requests that succeeded, by the server's usage, else as recorded.",
        None,
    ),
    (
        "output_tokens",
        "output tokens",
        "tok",
        "Generated tokens of requests that succeeded, by the server's usage, else as recorded.",
        None,
    ),
    (
        "cached_input_share",
        "cached share of input",
        "1",
        "Prompt tokens the server's usage says were read from a cache / prompt tokens.",
        None,
    ),
    ("duration_s.whole", "wall time", "s", _WHOLE, None),
    ("duration_s.steady", "length of the steady state", "s", _STEADY, None),
)

DOMAINS = MappingProxyType(
    {
        "accelerator": "all accelerators of the deployment",
        "host": "the hosts' processors, as far as their counters reach",
    }
)
_ENERGY = (
    ("energy_j", "energy", "J", "energy", None),
    ("energy_j_per_output_token", "energy per output token", "J/tok", "energy / output tokens", 0),
    ("energy_j_per_input_token", "energy per input token", "J/tok", "energy / input tokens", 0),
    ("energy_j_per_total_token", "energy per token", "J/tok", "energy / all tokens", 0),
    ("energy_j_per_request", "energy per request", "J/req", "energy / requests that succeeded", 0),
    ("power_w", "mean power", "W", "energy / wall time", None),
    (
        "energy_counter_ratio",
        "energy counter against samples",
        "1",
        "the device's own energy counter / integrated power samples, where it has both",
        None,
    ),
)
ROLE_ENERGY = (
    ("energy_j_per_input_token", "prefill"),
    ("energy_j_per_output_token", "decode"),
)
_POWER = "Sampled power integrated by trapezoid, or the device's counter where it tells no power."


def _energies() -> list[MetricDefinition]:
    found = []
    for name, title, unit, text, better in _ENERGY:
        for domain, what in DOMAINS.items():
            found.append(
                MetricDefinition(
                    name=f"{name}.{domain}",
                    title=f"{title}, {domain}",
                    unit=unit,
                    definition=f"{text[0].upper()}{text[1:]}, of {what}. {_POWER} {_WHOLE}",
                    higher_is_better=None if better is None else bool(better),
                )
            )
    for name, role in ROLE_ENERGY:
        side = "input" if role == "prefill" else "output"
        found.append(
            MetricDefinition(
                name=f"{name}.{role}",
                title=f"energy per {side} token, {role}",
                unit="J/tok",
                definition=f"Energy of the {role} accelerators / {side} tokens. {_POWER} {_WHOLE}",
                higher_is_better=False,
            )
        )
    return found


def _all() -> tuple[MetricDefinition, ...]:
    plain = [
        MetricDefinition(name=name, title=title, unit=unit, definition=text, higher_is_better=up)
        for name, title, unit, text, up in _PLAIN
    ]
    families = [family.of(s) for family in DISTRIBUTIONS for s in STATISTICS]
    return (*families, *_interactivity(), *_rates(), *plain, *_energies())


DEFINITIONS: tuple[MetricDefinition, ...] = _all()
BY_NAME = MappingProxyType({definition.name: definition for definition in DEFINITIONS})
