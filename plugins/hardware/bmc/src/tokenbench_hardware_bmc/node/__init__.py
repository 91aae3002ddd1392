"""The host's power, from its BMC.

The program of a node: standard library, Python 3.8. Options: those of the plugin. The password is
not one of them: `password_env` is the name of the environment variable that has it.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from .errors import Unavailable
from .ipmi import Ipmi
from .meter import Meter
from .redfish import Redfish

__all__ = ["probe", "sampler"]


def probe(options: dict[str, Any]) -> dict[str, Any]:
    """One device, number 0: the whole host; or why its power cannot be read."""
    try:
        source = _open(options)
        try:
            return source.probe()
        finally:
            source.close()
    except Unavailable as error:
        return {"devices": [], "reason": error.reason, "hint": error.hint}
    except Exception as error:
        return {
            "devices": [],
            "reason": f"the BMC's answer could not be read: {type(error).__name__}: {error}",
            "hint": "report it to the plugin's authors, with the BMC's model and firmware",
        }


def sampler(options: dict[str, Any], devices: list[Any]) -> Meter | None:
    """Asks the BMC about once per second, in a thread."""
    return Meter(lambda: _open(options))


def _open(options: dict[str, Any]) -> Ipmi | Redfish:
    settings = dict(options)
    for name in ("host", "url"):
        if settings.get(name):
            settings[name] = settings[name].replace("{hostname}", socket.gethostname())
    password = None
    variable = settings.get("password_env")
    if variable:
        password = os.environ.get(variable)
        if not password:
            raise Unavailable(
                f"the environment variable {variable} with the BMC's password is not set here",
                f"export {variable} on this host before the run",
                permanent=True,
            )
    return Redfish(settings, password) if settings.get("url") else Ipmi(settings, password)
