"""Power by IPMI: DCMI's command Get Power Reading, through ipmitool.

DCMI specification 1.5, 6.6.1: the current power in watts, and its least, greatest and mean value
over a period that the BMC chooses. The current power is used. A BMC in the network is asked by
RMCP+ (``-I lanplus``); ipmitool(1), 1.8.19: ``-E`` takes the password from IPMI_PASSWORD.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import Any

from .errors import Unavailable

NO_COUNTER = "IPMI DCMI has no energy counter"

_READING = re.compile(r"^\s*Instantaneous power reading:\s*(\d+)\s*Watts", re.MULTILINE)
_FIELD = re.compile(r"^(Firmware Revision|Manufacturer Name)\s*:\s*(.+?)\s*$", re.MULTILINE)
_LIMIT_S = 10.0
_USE_REDFISH = "if the BMC has Redfish, use that: bmc:url=https://HOST"
_NO_DEVICE = (
    "on bare metal: modprobe ipmi_si ipmi_devintf; virtual machines and most containers have no "
    "BMC (for one in the network: bmc:host=NAME or bmc:url=https://NAME)"
)
# Start of a message of ipmitool 1.8.19, and what helps.
_HINTS = (
    ("No such file or directory", _NO_DEVICE),
    ("Permission denied", "run as root, or give this user access to /dev/ipmi0"),
    ("Unable to establish", "check address, user and password, and that IPMI over LAN is enabled"),
    ("Address lookup", "check the address of the BMC"),
    ("DCMI request failed", f"this BMC does not report power by DCMI; {_USE_REDFISH}"),
)


class Ipmi:
    """This host's own BMC, or one in the network if the options have a `host`.

    Raises:
        Unavailable: ipmitool is not installed here.
    """

    def __init__(self, options: dict[str, Any], password: str | None) -> None:
        found = shutil.which("ipmitool", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if found is None:
            raise Unavailable(
                "ipmitool is not installed here",
                f"install the package ipmitool; {_USE_REDFISH}",
                permanent=True,
            )
        self._host = options.get("host")
        self._command = [found]
        self._environment = {**os.environ, "LC_ALL": "C"}
        if self._host:
            self._command += ["-I", "lanplus", "-H", self._host, "-U", options.get("user", "")]
            self._command += ["-E", "-N", "1", "-R", "2"]
            for flag, name in (("-p", "port"), ("-C", "cipher_suite")):
                if options.get(name) is not None:
                    self._command += [flag, str(options[name])]
            self._environment["IPMI_PASSWORD"] = password or ""

    def probe(self) -> dict[str, Any]:
        """The BMC's maker and firmware, if its power can be read.

        Raises:
            Unavailable: it cannot.
        """
        self.read()
        try:
            fields = dict(_FIELD.findall(self._run("mc", "info")))
        except Unavailable:
            fields = {}
        maker = fields.get("Manufacturer Name", "").split(" (")[0]
        known = maker and not maker.startswith("Unknown")
        device = {"index": 0, "name": f"{maker} host" if known else "host"}
        if "Firmware Revision" in fields:
            device["firmware"] = fields["Firmware Revision"]
        return {
            "devices": [device],
            "notes": {"energy_j": NO_COUNTER},
            "facts": {"source": f"IPMI DCMI of {self._host or 'this host'}"},
        }

    def read(self) -> dict[str, Any]:
        """Power now.

        Raises:
            Unavailable: there is no reading.
        """
        text = self._run("dcmi", "power", "reading")
        found = _READING.search(text)
        if found is None:
            raise Unavailable(
                f"ipmitool printed no power reading: {_short(text)}",
                f"try it here: ipmitool dcmi power reading; {_USE_REDFISH}",
            )
        watts = int(found[1])
        if watts == 0:
            # OpenBMC and others answer 0 W, "deactivated", if no sensor is configured.
            raise Unavailable("the BMC reports 0 W: it does not measure power", _USE_REDFISH)
        return {"power_w": float(watts)}

    def close(self) -> None:
        """Nothing stays open."""

    def _run(self, *arguments: str) -> str:
        """What ipmitool prints."""
        try:
            done = subprocess.run(
                [*self._command, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=self._environment,
                timeout=_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(
                f"ipmitool did not answer within {_LIMIT_S:g} s", "check the BMC"
            ) from None
        except OSError as error:
            raise Unavailable(
                f"could not run ipmitool: {error}", "check its installation"
            ) from None
        output, errors = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
        # Some versions end with 0 after a failed DCMI request.
        if done.returncode != 0 or not output.strip():
            raise _failed(errors or output, done.returncode)
        return output


def _failed(text: str, code: int) -> Unavailable:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = next((line for line in lines if _hint(line)), lines[-1] if lines else f"code {code}")
    return Unavailable(
        f"ipmitool: {_short(said)}", _hint(said) or "try it here: ipmitool dcmi power reading"
    )


def _hint(line: str) -> str | None:
    return next((hint for part, hint in _HINTS if part in line), None)


def _short(text: str) -> str:
    return " ".join(text.split())[:200]
