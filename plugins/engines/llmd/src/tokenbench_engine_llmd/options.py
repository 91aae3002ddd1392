"""Options of the engine."""

from __future__ import annotations

from typing import Any

from tokenbench.api import (
    named_values,
    option,
    options,
)

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
    """Options of the engine. None: llm-d's default, or derived from the plan."""

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
        help="program of the routing sidecar (llm-d-router), if disaggregated",
    )
    envoy: str = option(
        default="envoy", identity=False, help="program of Envoy, which asks the endpoint picker"
    )
    start_timeout_s: float = option(
        default=1800.0, minimum=1, unit="s", identity=False, help="time limit for the start"
    )

    worker_options: str = option(
        default="",
        help="options of the engine vllm, as KEY=VALUE,..., for pools without their own",
    )
    scorers: tuple[str, ...] = option(
        default=("queue-scorer",),
        choices=SCORERS,
        help="scores by which the endpoint picker compares workers, besides their prefix caches",
    )
    picker: str = option(
        default="max-score-picker", choices=PICKERS, help="how the picker chooses a worker by score"
    )
    decider: str = option(
        default="always",
        choices=tuple(DECIDERS),
        help="which prompts go to a prefill worker: always (all), or prefix (those with enough "
        "tokens that the decode worker has not cached)",
    )
    non_cached_tokens: int | None = option(
        default=None,
        minimum=1,
        unit="tokens",
        help="decider=prefix: minimum uncached tokens; default: 16, as in llm-d's sample",
        needs="decider=prefix",
    )

    def __attrs_post_init__(self) -> None:
        self.worker_values()

    def worker_values(self) -> dict[str, Any]:
        """`worker_options` by name."""
        return named_values(self.worker_options, "worker_options")
