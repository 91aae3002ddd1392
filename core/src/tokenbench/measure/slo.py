"""Service level objectives of one request. Apart, because a plan has them and needs no numpy."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Slo:
    """What a request must keep to count as good; None: not asked."""

    ttft_s: float | None = None
    tpot_s: float | None = None
    e2e_s: float | None = None
