"""What tests of plugins may use of core, besides the API: the conformance kit imports
`tokenbench.api` and this package.

It finds plugins as a run does, guards calls into them, and does what core does with their results.
`tokenbench.harness.servers` starts servers. Plugins must not import it.

Besides the classes and functions below: `DEFINITIONS` are the metrics and what reports derive from
them, `FRAMINGS` the ways to cut the body of a response into events, by name.
"""

from __future__ import annotations

from tokenbench.api.binding import bind, symbols
from tokenbench.economics.definitions import DERIVED
from tokenbench.guard.call import call
from tokenbench.guard.limits import limit_s
from tokenbench.guard.owner import PluginTooSlow
from tokenbench.launch.control import ControlClient
from tokenbench.load.framing import FRAMINGS
from tokenbench.measure.definitions import DEFINITIONS as MEASURED
from tokenbench.plan.canonical import canonical_json
from tokenbench.plugins.versions import api_mismatch
from tokenbench.run.weights import locate
from tokenbench.suite.options import build_options

from .hosts import HostProgram
from .launches import bound_values, placements_of
from .plugins import Installed, amended, codec_names, installed, kind_of, plugin_context

DEFINITIONS = (*MEASURED, *DERIVED)

__all__ = [
    "DEFINITIONS",
    "FRAMINGS",
    "ControlClient",
    "HostProgram",
    "Installed",
    "PluginTooSlow",
    "amended",
    "api_mismatch",
    "bind",
    "bound_values",
    "build_options",
    "call",
    "canonical_json",
    "codec_names",
    "installed",
    "kind_of",
    "limit_s",
    "locate",
    "placements_of",
    "plugin_context",
    "symbols",
]
