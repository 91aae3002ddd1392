"""The catalogue of Intel Gaudi. Devices are not looked for."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Hardware, Sku

from .catalogue import CATALOGUE


class Gaudi(Hardware):
    """Data only: no device, no readings."""

    def catalogue(self) -> Sequence[Sku]:
        """All Gaudi accelerators with figures."""
        return CATALOGUE
