"""The definition of every metric that is computed from records.

A metric's name carries its unit and, after a dot, the statistic (``ttft_s.p99``), the window
(``output_tok_s.steady``) or the power domain (``energy_j_per_request.host``).
:data:`DEFINITIONS_VERSION` is part of a point's identity: raise it when a definition changes.
"""

from __future__ import annotations

from types import MappingProxyType

import attrs

from tokenbench.api import MetricDefinition
from tokenbench.api.specs import DOMAINS

from .server_definitions import SERVER_METRICS
from .session_definitions import SESSION_METRICS

DEFINITIONS_VERSION = 4

PERCENTILES = MappingProxyType(
    {"p50": 50.0, "p75": 75.0, "p90": 90.0, "p95": 95.0, "p99": 99.0, "p99_9": 99.9}
)
"""Name of a statistic to its percentile."""
STATISTICS = ("mean", *PERCENTILES)
WINDOWS = ("whole", "steady")

_REQUESTS = "Over all successful requests; percentiles are exact, with linear interpolation."
_WHOLE = "Over the whole phase, from its start to the end of its last request."
_STEADY_STATE = (
    "in a closed loop of concurrency C from the dispatch of the C-th session's first request until "
    "no more requests, or no more sessions, are started by the stop rule; in an open loop from the "
    "first to the last scheduled arrival"
)
_STEADY = f"Over the steady state: {_STEADY_STATE}. None if it is empty."


@attrs.frozen
class Distribution:
    """A metric with several statistics. `text` is its definition without the statistic."""

    name: str
    title: str
    text: str

    def definition(self, statistic: str) -> MetricDefinition:
        """The definition of one statistic, in seconds."""
        return MetricDefinition(
            name=f"{self.name}.{statistic}",
            title=f"{self.title}, {_label(statistic)}",
            unit="s",
            definition=f"{_label(statistic).capitalize()} of {self.text}. {_REQUESTS}",
            higher_is_better=False,
        )


def _label(statistic: str) -> str:
    return statistic.replace("_", ".")


DISTRIBUTIONS = (
    Distribution(
        "ttft_s",
        "TTFT",
        "the time from the first request byte sent to the first token-bearing chunk received "
        "(first_ns - sent_first_ns)",
    ),
    Distribution(
        "ttft_from_schedule_s",
        "TTFT from schedule",
        "the time from the scheduled send to the first token-bearing chunk received "
        "(first_ns - scheduled_ns)",
    ),
    Distribution(
        "upload_s",
        "upload time",
        "the time from the first to the last request byte sent (sent_last_ns - sent_first_ns)",
    ),
    Distribution(
        "dispatch_delay_s",
        "dispatch delay",
        "the time from the scheduled send to the first request byte sent "
        "(sent_first_ns - scheduled_ns): a delay of the client, not of the server",
    ),
    Distribution(
        "e2e_s",
        "E2E latency",
        "the time from the first request byte sent to the last token-bearing chunk received "
        "(last_ns - sent_first_ns)",
    ),
    Distribution(
        "e2e_from_schedule_s",
        "E2E latency from schedule",
        "the time from the scheduled send to the last token-bearing chunk received "
        "(last_ns - scheduled_ns)",
    ),
    Distribution(
        "tpot_s",
        "TPOT",
        "the time per output token after the first, (last_ns - first_ns) / (n_out - 1); requests "
        "with one token or one chunk have none",
    ),
    Distribution(
        "itl_chunk_s",
        "ITL per chunk",
        "the gaps between consecutive token-bearing chunks; None if the client merged too many "
        "(check `coalesced reads`)",
    ),
    Distribution(
        "itl_token_s",
        "ITL per token",
        "the gaps between consecutive tokens, where the gap before a chunk of k tokens counts as k "
        "gaps of 1/k of its length; None unless the token count of every chunk is known",
    ),
)


def _interactivity() -> list[MetricDefinition]:
    definitions = [
        MetricDefinition(
            name=f"interactivity_tok_s.{statistic}",
            title=f"interactivity, {_label(statistic)}",
            unit="tok/s/user",
            definition=f"1 / {_label(statistic)} of TPOT: the reciprocal of the same statistic, so "
            "a high percentile describes a slow user.",
            higher_is_better=True,
        )
        for statistic in STATISTICS
    ]
    definitions.append(
        MetricDefinition(
            name="normalised_interactivity_tok_s",
            title="normalised interactivity",
            unit="tok/s/user",
            definition=f"1 / p90 of (E2E latency / output tokens). {_REQUESTS}",
            higher_is_better=True,
        )
    )
    return definitions


RATES = (
    ("output_tok_s", "output throughput", "tok/s", "output tokens / seconds"),
    ("input_tok_s", "input throughput", "tok/s", "input tokens / seconds"),
    ("total_tok_s", "total throughput", "tok/s", "input and output tokens / seconds"),
    ("req_s", "request throughput", "req/s", "successful requests / seconds"),
    (
        "goodput_req_s",
        "goodput",
        "req/s",
        "successful requests that meet all SLOs of their class / seconds; None: TPOT unknown",
    ),
)
PER_ACCELERATOR = ("output_tok_s", "input_tok_s", "total_tok_s")
PER_ROLE = (("input_tok_s", "prefill"), ("output_tok_s", "decode"))
_COUNTED = {
    "whole": "Counts all tokens of successful requests.",
    "steady": "An output token counts when it arrives, input tokens when the first output token "
    "arrives, a request when its last token arrives; successful requests only.",
}


def _rates() -> list[MetricDefinition]:
    definitions = []
    for window, over in zip(WINDOWS, (_WHOLE, _STEADY), strict=True):
        tail = f"{over} {_COUNTED[window]}"
        for name, title, unit, text in RATES:
            definitions.append(
                _rate(f"{name}.{window}", f"{title}, {window}", unit, f"{text}. {tail}")
            )
        for name, title, unit, text in RATES:
            if name in PER_ACCELERATOR:
                definitions.append(
                    _rate(
                        f"{name}_per_accelerator.{window}",
                        f"{title} per accelerator, {window}",
                        f"{unit}/accelerator",
                        f"{text} / all accelerators of the deployment. {tail}",
                    )
                )
        for name, role in PER_ROLE:
            side = name.split("_")[0]
            definitions.append(
                _rate(
                    f"{name}_per_{role}_accelerator.{window}",
                    f"{side} throughput per {role} accelerator, {window}",
                    "tok/s/accelerator",
                    f"{side} tokens / seconds / {role} accelerators, in a disaggregated "
                    f"deployment. {tail}",
                )
            )
    return definitions


def _rate(name: str, title: str, unit: str, definition: str) -> MetricDefinition:
    return MetricDefinition(
        name=name,
        title=title,
        unit=unit,
        definition=_sentence(definition),
        higher_is_better=True,
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


_COUNTS = (
    ("requests_ok", "successful requests", "requests", "Successful requests.", True),
    (
        "requests_failed",
        "failed requests",
        "requests",
        "Failed requests, without those that the client cancelled.",
        False,
    ),
    (
        "input_tokens",
        "input tokens",
        "tok",
        "Prompt tokens of successful requests (n_in, counted by token_source).",
        None,
    ),
    (
        "output_tokens",
        "output tokens",
        "tok",
        "Generated tokens of successful requests (n_out, counted by token_source).",
        None,
    ),
    (
        "cached_input_share",
        "cached share of the input",
        "1",
        "Prompt tokens read from a cache / prompt tokens, both from the server's usage.",
        None,
    ),
    (
        "retries",
        "retries",
        "requests",
        "Requests sent again on a new connection; their times count from the first attempt.",
        False,
    ),
    *SERVER_METRICS,
    *SESSION_METRICS,
    (
        "duration_s.whole",
        "wall time",
        "s",
        "Length of the phase, from its start to the end of its last request.",
        None,
    ),
    (
        "duration_s.steady",
        "length of the steady state",
        "s",
        f"Length of the steady state: {_STEADY_STATE}; None if it is empty.",
        None,
    ),
    (
        "power_cap_share.accelerator",
        "share at the power limit",
        "1",
        f"Share of the samples at an accelerator's power limit, mean over accelerators. {_WHOLE}",
        None,
    ),
    (
        "clock_hz.accelerator",
        "mean clock",
        "Hz",
        f"Mean compute clock of all accelerators. {_WHOLE}",
        None,
    ),
)

_DEVICES = {
    "accelerator": "all accelerators of the deployment",
    "cpu": "the hosts' CPU packages",
    "host": "the whole hosts, as their power meters read it",
}
_ENERGY = (
    ("energy_j", "energy", "J", "{}", None),
    ("energy_j_per_output_token", "energy per output token", "J/tok", "{} / output tokens", False),
    ("energy_j_per_input_token", "energy per input token", "J/tok", "{} / input tokens", False),
    ("energy_j_per_total_token", "energy per token", "J/tok", "{} / all tokens", False),
    ("energy_j_per_request", "energy per request", "J/req", "{} / successful requests", False),
    ("power_w", "mean power", "W", "{} / seconds", None),
    (
        "energy_counter_ratio",
        "energy counter / power integral",
        "1",
        "{} by counter / by power samples; None unless every device reports both",
        None,
    ),
)
ROLE_ENERGY = (
    ("energy_j_per_input_token", "prefill"),
    ("energy_j_per_output_token", "decode"),
)
_POWER = (
    "Energy is the integral of the power samples (trapezoidal rule), or the device's energy "
    "counter if it reports no power."
)


def _energies() -> list[MetricDefinition]:
    definitions = []
    for name, title, unit, text, higher_is_better in _ENERGY:
        for domain in DOMAINS:
            devices = _DEVICES[domain]
            sentence = _sentence(text.format(f"energy of {devices}"))
            definitions.append(
                MetricDefinition(
                    name=f"{name}.{domain}",
                    title=f"{title}, {domain}",
                    unit=unit,
                    definition=f"{sentence}. {_POWER} {_WHOLE}",
                    higher_is_better=higher_is_better,
                )
            )
    for name, role in ROLE_ENERGY:
        side = "input" if role == "prefill" else "output"
        definitions.append(
            MetricDefinition(
                name=f"{name}.{role}",
                title=f"energy per {side} token, {role}",
                unit="J/tok",
                definition=f"Energy of the {role} accelerators / {side} tokens. {_POWER} {_WHOLE}",
                higher_is_better=False,
            )
        )
    return definitions + [
        MetricDefinition(
            name=f"idle_power_w.{domain}",
            title=f"idle power, {domain}",
            unit="W",
            definition=f"Mean power of {devices} while the server is loaded and gets no requests, "
            "measured once, before the first point.",
        )
        for domain, devices in _DEVICES.items()
    ]


def _all() -> tuple[MetricDefinition, ...]:
    counts = [
        MetricDefinition(name=name, title=title, unit=unit, definition=text, higher_is_better=up)
        for name, title, unit, text, up in _COUNTS
    ]
    distributions = [d.definition(s) for d in DISTRIBUTIONS for s in STATISTICS]
    return (*distributions, *_interactivity(), *_rates(), *counts, *_energies())


DEFINITIONS: tuple[MetricDefinition, ...] = _all()
BY_NAME = MappingProxyType({definition.name: definition for definition in DEFINITIONS})
