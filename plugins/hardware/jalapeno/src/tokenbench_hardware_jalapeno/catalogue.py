"""OpenAI's accelerator Jalapeño, as data: power and prices."""

from __future__ import annotations

from tokenbench.api import Sku

from .costs import COSTS, INFERENCEX

CATALOGUE: tuple[Sku, ...] = (
    Sku(
        name="jalapeno",
        vendor="openai",
        label="Jalapeño",
        source=INFERENCEX,
        date="2026-09",
        architecture="Jalapeño",
        tdp_w=700.0,
        costs=COSTS["jalapeno"],
    ),
)
