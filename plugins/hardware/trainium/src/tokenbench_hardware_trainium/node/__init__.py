"""The part of the plugin that runs on each host: finds Neuron devices and samples them.

Standard library only, Python 3.8 or newer. Options: `sys` and `proc`, where these file systems are;
`tools`, the folder of Neuron's tools if they are not in PATH.
"""

from __future__ import annotations

from .devices import probe
from .telemetry import sampler

__all__ = ["probe", "sampler"]
