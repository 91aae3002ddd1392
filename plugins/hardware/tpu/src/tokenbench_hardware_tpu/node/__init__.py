"""The part of the plugin that runs on each host: finds TPUs and samples them.

Standard library only, Python 3.8 or newer. Options: `sys`, `dev` and `proc`, where these file
systems are.
"""

from __future__ import annotations

from .chips import probe
from .telemetry import sampler

__all__ = ["probe", "sampler"]
