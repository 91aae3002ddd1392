"""Random runs to simulate: open and closed loops, short and long, fast and slow servers."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

_MAX_TOKENS = 60_000  # per run, to limit the time of a simulation
_MIN_REQUESTS = 5  # expected per repeat


@attrs.frozen(kw_only=True)
class Run:
    """A load and a server. Times in seconds, lengths in tokens; `slots`: its maximum batch size."""

    seed: int
    repeats: int
    duration_s: float
    requests: int | None
    concurrency: int | None
    load: float
    n_in: int
    n_out: int
    fixed_lengths: bool
    exact_output: bool
    template: int
    turns: int
    think_s: float
    base_tpot_s: float
    slowdown: float
    slots: int
    prefill_tok_s: float
    tokens_per_chunk: int
    speculative: bool
    continuous_usage: bool
    merged_upstream: float
    between_repeats: float
    within_repeat: float
    counters: bool
    reports_cache: bool
    prefix_caching: bool
    accelerated: bool
    # Faults; the defaults are those of a good server. `slows_to`: relative speed in the last third.
    # `reports_in`, `reports_out`: tokens in the server's usage over true ones.
    slows_to: float = 1.0
    frozen_from_s: float = 0.0
    frozen_s: float = 0.0
    reports_in: float = 1.0
    reports_out: float = 1.0

    @property
    def tpot_s(self) -> float:
        """TPOT with a full batch."""
        return self.base_tpot_s * (1 + self.slowdown)

    @property
    def e2e_s(self) -> float:
        """E2E latency with a full batch, without queueing."""
        return self.n_in / self.prefill_tok_s + self.n_out * self.tpot_s

    @property
    def capacity_per_s(self) -> float:
        """Largest request rate of the server."""
        per_slot = self.slots / (self.n_out * self.tpot_s)
        return min(per_slot, self.prefill_tok_s / self.n_in)

    @property
    def rate_per_s(self) -> float:
        """Arrival rate of sessions in an open loop."""
        return self.load * self.capacity_per_s / self.turns

    @property
    def tokens(self) -> float:
        """Estimated output tokens of all repeats."""
        if self.requests is not None:
            return self.requests * self.n_out * self.repeats
        rate = self.capacity_per_s * self.load
        if self.concurrency is not None:
            rate = min(self.capacity_per_s, self.concurrency / self.e2e_s)
        return self.duration_s * rate * self.n_out * self.repeats


def draw(seed: int) -> Run:
    """A random run within the limits of tokens and requests."""
    rng = np.random.default_rng(seed)
    while True:
        run = _draw(rng, seed)
        if run.tokens <= _MAX_TOKENS and run.tokens / run.n_out / run.repeats >= _MIN_REQUESTS:
            return run


def _draw(rng: np.random.Generator, seed: int) -> Run:
    concurrency = int(rng.choice([1, 2, 4, 8, 16, 32, 64])) if rng.random() < 0.5 else None
    turns = int(rng.integers(2, 6)) if rng.random() < 0.2 else 1
    n_out = int(
        rng.choice([1, 16, 32, 64, 128, 256, 1024], p=[0.02, 0.1, 0.2, 0.2, 0.2, 0.2, 0.08])
    )
    n_in = int(rng.choice([64, 128, 256, 1024, 8192]))
    base = float(np.exp(rng.uniform(np.log(0.003), np.log(0.04))))
    slots = int(rng.choice([4, 8, 16, 64, 256]))
    by_requests = concurrency is not None and rng.random() < 0.3
    saturated = rng.random() < 0.12
    chat = rng.random() < 0.5
    return Run(
        seed=seed,
        repeats=int(rng.integers(1, 6)),
        duration_s=float(np.exp(rng.uniform(np.log(2.0), np.log(600.0)))),
        requests=10 * (concurrency or 1) if by_requests else None,
        concurrency=concurrency,
        load=float(rng.uniform(1.1, 1.5) if saturated else rng.uniform(0.2, 0.85)),
        n_in=n_in,
        n_out=n_out,
        fixed_lengths=bool(rng.random() < 0.4),
        exact_output=bool(rng.random() < 0.8),
        # 250: a template with a system prompt.
        template=int(rng.choice([*range(4, 61), 250])) if chat else 0,
        turns=turns,
        think_s=float(rng.choice([0.0, 0.5, 3.0])) if turns > 1 else 0.0,
        base_tpot_s=base,
        slowdown=float(rng.uniform(0.0, 1.5)),
        slots=slots,
        prefill_tok_s=float(np.exp(rng.uniform(np.log(5e3), np.log(2e5)))),
        tokens_per_chunk=int(rng.choice([1, 1, 1, 2, 4, 8])),
        speculative=bool(rng.random() < 0.15),
        continuous_usage=bool(rng.random() < 0.4),
        merged_upstream=float(rng.choice([0.0, 0.0, 0.05, 0.3])),
        between_repeats=float(rng.uniform(0.01, 0.03)),
        within_repeat=float(rng.uniform(0.005, 0.03)),
        counters=bool(rng.random() < 0.6),
        reports_cache=bool(rng.random() < 0.5),
        prefix_caching=turns > 1,
        accelerated=bool(rng.random() < 0.5),
    )


def regular(seed: int, **changes: Any) -> Run:
    """A closed loop of a random length below the server's capacity, with exact lengths."""
    rng = np.random.default_rng([seed, 1])
    return attrs.evolve(
        draw(seed),
        **{
            "concurrency": int(rng.choice([4, 8, 16])),
            "requests": None,
            "duration_s": float(np.exp(rng.uniform(np.log(5.0), np.log(40.0)))),
            "slots": 16,
            "n_in": 256,
            "n_out": int(rng.choice([32, 64])),
            "exact_output": True,
            "turns": 1,
            "think_s": 0.0,
            "base_tpot_s": 0.02,
            "slowdown": 0.3,
            "prefill_tok_s": 50_000.0,
            "accelerated": False,
            **changes,
        },
    )


FAULTS = ("drifts", "freezes", "misreports")


def draw_dishonest(seed: int) -> tuple[Run, str]:
    """A run of a server that drifts, freezes or reports wrong usage, and which of these."""
    rng = np.random.default_rng([seed, 2])
    run = regular(seed) if rng.random() < 0.75 else draw(seed)
    fault = str(rng.choice(FAULTS))
    if fault == "drifts":
        return attrs.evolve(run, slows_to=float(rng.uniform(0.3, 0.98))), fault
    if fault == "freezes":
        length = run.duration_s if run.requests is None else 5.0
        frozen_s = length * float(rng.uniform(0.002, 0.8))
        start = float(rng.uniform(0.0, length))
        return attrs.evolve(run, frozen_from_s=start, frozen_s=frozen_s), fault
    factor = float(rng.choice([0.5, 0.85, 0.95, 1.04, 1.1, 2.1]))
    if rng.random() < 0.5:
        return attrs.evolve(run, reports_in=factor), fault
    # A server that is free to end early may claim any count up to the limit.
    return attrs.evolve(run, reports_out=factor, exact_output=True), fault
