"""Options of the engine."""

from __future__ import annotations

import json
from typing import Any

from tokenbench.api import option, options

DECIDERS = {"always": "always-disagg-pd-decider", "prefix": "prefix-based-pd-decider"}
# Plugins of the endpoint picker that need no other plugin and no further settings.
SCORERS = (
    "queue-scorer",
    "kv-cache-utilization-scorer",
    "running-requests-size-scorer",
    "active-request-scorer",
    "load-aware-scorer",
)
PICKERS = ("max-score-picker", "random-picker", "weighted-random-picker")


@options
class LlmdOptions:
    """Options of the engine. Those without a value are llm-d's own, or derived from the plan."""

    python: str | None = option(
        default=None,
        identity=False,
        help="Python interpreter with vLLM; default: the one that runs bench",
    )
    epp: str = option(
        default="epp", identity=False, help="program of the endpoint picker (llm-d-router)"
    )
    sidecar: str = option(
        default="pd-sidecar",
        identity=False,
        help="program of the routing sidecar (llm-d-router), for prefill and decode apart",
    )
    envoy: str = option(
        default="envoy", identity=False, help="program of Envoy, which asks the endpoint picker"
    )
    start_timeout_s: float = option(
        default=1800.0, minimum=1, unit="s", identity=False, help="time limit for the start"
    )

    worker_options: str = option(
        default="",
        help="options of the engine vllm, KEY=VALUE with commas between, for pools that have none "
        "of their own",
    )
    scorers: tuple[str, ...] = option(
        default=("queue-scorer",),
        choices=SCORERS,
        help="what the endpoint picker compares workers by, besides their prefix caches",
    )
    picker: str = option(
        default="max-score-picker", choices=PICKERS, help="how it chooses one by its score"
    )
    decider: str = option(
        default="always",
        choices=tuple(DECIDERS),
        help="which prompts go to a prefill worker: always all, or prefix: those with enough "
        "tokens that the decode worker has not in its cache",
    )
    non_cached_tokens: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="decider=prefix: how many tokens are enough; default: 16, as in llm-d's own sample",
    )

    def __attrs_post_init__(self) -> None:
        if self.non_cached_tokens is not None and self.decider != "prefix":
            raise ValueError("non_cached_tokens needs decider=prefix")
        self.worker_values()

    def worker_values(self) -> dict[str, Any]:
        """`worker_options` by name: numbers, true, false and null as such, the rest as text.

        Raises:
            ValueError: an item is no KEY=VALUE.
        """
        values: dict[str, Any] = {}
        for item in filter(None, self.worker_options.split(",")):
            key, equals, text = item.strip().partition("=")
            if not (key and equals):
                raise ValueError(f"worker_options: expected KEY=VALUE, got {item!r}")
            if key in values:
                raise ValueError(f"worker_options: {key} is given twice")
            try:
                values[key] = json.loads(text)
            except ValueError:
                values[key] = text
        return values
