"""The catalogue of AMD Instinct GPUs. Devices are not looked for."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Hardware, Probe, Sku

from .catalogue import CATALOGUE


class AmdGpus(Hardware):
    """Data only: no device, no readings."""

    def catalogue(self) -> Sequence[Sku]:
        """All AMD GPUs with figures."""
        return CATALOGUE

    def probe(self) -> Probe:
        """None, on any machine."""
        return Probe(
            reason="the plugin has a catalogue only, it does not look for devices",
            hint="plan from the catalogue: bench plan --hardware mi355x:8",
        )
