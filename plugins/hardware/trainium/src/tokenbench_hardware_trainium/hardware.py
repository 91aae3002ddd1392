"""The catalogue of AWS Trainium. Devices are not looked for."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import Hardware, Probe, Sku

from .catalogue import CATALOGUE


class Trainium(Hardware):
    """Data only: no device, no readings."""

    def catalogue(self) -> Sequence[Sku]:
        """All Trainium chips with figures."""
        return CATALOGUE

    def probe(self) -> Probe:
        """None, on any machine."""
        return Probe(
            reason="the plugin has a catalogue only, it does not look for devices",
            hint="plan from the catalogue: bench plan --hardware trn2:16",
        )
