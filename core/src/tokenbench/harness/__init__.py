"""The parts of core that tests of plugins may use besides the API. The conformance kit imports
`tokenbench.api` and this package; plugins must not import it.

It finds plugins as a run does, guards calls into them, and processes their results as core does.
`tokenbench.harness.servers` starts servers.

`DEFINITIONS` has the metrics, also those that reports derive from others. `FRAMINGS` has, by name,
the ways to cut the body of a response into events.
"""

from __future__ import annotations

from tokenbench.economics.definitions import DERIVED
from tokenbench.guard.call import call
from tokenbench.guard.limits import limit_s
from tokenbench.guard.owner import PluginTooSlow
from tokenbench.launch.control import ControlClient
from tokenbench.launch.symbols import BoundProcess, bind, bind_process, symbols
from tokenbench.load.framing import FRAMINGS
from tokenbench.measure.definitions import DEFINITIONS as MEASURED
from tokenbench.plan.canonical import canonical_json
from tokenbench.plugins.versions import api_mismatch
from tokenbench.run.weights import locate
from tokenbench.suite.options import build_options

from .hosts import HostProgram
from .launches import bound_urls, bound_values
from .plugins import Installed, amended, codec_names, installed, kind_of, plugin_context

DEFINITIONS = (*MEASURED, *DERIVED)

__all__ = [
    "DEFINITIONS",
    "FRAMINGS",
    "BoundProcess",
    "ControlClient",
    "HostProgram",
    "Installed",
    "PluginTooSlow",
    "amended",
    "api_mismatch",
    "bind",
    "bind_process",
    "bound_urls",
    "bound_values",
    "build_options",
    "call",
    "canonical_json",
    "codec_names",
    "installed",
    "kind_of",
    "limit_s",
    "locate",
    "plugin_context",
    "symbols",
]
