"""Power by Redfish.

DMTF, "Redfish Data Model" DSP0268 and the mockup public-rackmount1 (read 2026-11). A chassis has
its power, from the newest form to the oldest, in:

* ``EnvironmentMetrics``: ``PowerWatts.Reading``, and an energy counter since the last reset,
  ``EnergyJoules.Reading`` or ``EnergykWh.Reading``;
* ``Power``: ``PowerControl[].PowerConsumedWatts``. One entry is the whole chassis; Lenovo adds
  entries for CPUs and memory;
* ``PowerSubsystem``: ``InputPowerWatts.Reading`` in the metrics of each power supply.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from .client import LIMIT_S, Client, NotFound
from .errors import Unavailable
from .power import energy_j, link, links, power_w

ROOT = "/redfish/v1/"
CHASSIS = "/redfish/v1/Chassis"
NO_COUNTER = "this BMC reports no energy counter in joules or with steps of 1 Wh"
# The probe of a BMC with dozens of chassis and 1 s per answer would take minutes.
_SEARCH_S = 45.0


class Found:
    """Where a chassis reports its power: one of the names in the module's docstring, and the
    resources to read.
    """

    def __init__(self, chassis: dict[str, Any], path: str, form: str, paths: list[str]) -> None:
        self.chassis = chassis
        self.path = path.rstrip("/")
        self.form = form
        self.paths = paths

    @property
    def name(self) -> str:
        """The chassis' Id."""
        return self.path.rpartition("/")[2]


class Redfish:
    """The service at the options' `url`."""

    def __init__(self, options: dict[str, Any], password: str | None) -> None:
        self._client = Client(
            options["url"],
            options.get("user", ""),
            password or "",
            insecure=bool(options.get("insecure")),
            limit_s=float(options.get("limit_s", LIMIT_S)),
        )
        self._chassis = options.get("chassis")
        self._found: Found | None = None

    def probe(self) -> dict[str, Any]:
        """The chassis, if its power can be read.

        Raises:
            Unavailable: it cannot.
        """
        root = self._client.get(ROOT)
        found = self._meter()
        reading = self.read()
        names = (found.chassis.get("Manufacturer"), found.chassis.get("Model"))
        name = " ".join(" ".join(str(part).split()) for part in names if part)
        device = {"index": 0, "name": name or f"chassis {found.name}"}
        firmware = self._firmware(found)
        if firmware:
            device["firmware"] = firmware
        facts = {"source": f"Redfish {self._client.url}{found.path}, {found.form}"}
        if root.get("RedfishVersion"):
            facts["redfish"] = str(root["RedfishVersion"])
        return {
            "devices": [device],
            "notes": {} if "energy_j" in reading else {"energy_j": NO_COUNTER},
            "facts": facts,
        }

    def read(self) -> dict[str, Any]:
        """Power now, and the energy counter if there is one.

        Raises:
            Unavailable: there is no reading.
        """
        found = self._meter()
        resources = [self._client.get(path) for path in found.paths]
        watts = power_w(found.form, resources)
        if watts is None:
            raise Unavailable(
                f"{self._client.name} reports no power in {found.form} of chassis {found.name}",
                "check the BMC",
            )
        reading = {"power_w": watts}
        joules = energy_j(resources[0]) if found.form == "EnvironmentMetrics" else None
        if joules is not None:
            reading["energy_j"] = joules
        return reading

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _meter(self) -> Found:
        if self._found is None:
            self._found = self._search()
        return self._found

    def _search(self) -> Found:
        """The one chassis that reports power: the option's, the computer system's, or any."""
        deadline = time.monotonic() + _SEARCH_S
        if self._chassis:
            candidates = self._reporting([f"{CHASSIS}/{self._chassis}"], deadline)
        else:
            candidates = self._reporting(self._chassis_of_systems(), deadline)
            if not candidates:
                members = links(self._client.get(CHASSIS).get("Members"))
                candidates = self._reporting(members, deadline)
        candidates = _outermost(candidates)
        if not candidates:
            where = f"chassis {self._chassis}" if self._chassis else "no chassis"
            verb = "does not report" if self._chassis else "reports"
            raise Unavailable(
                f"{where} of {self._client.name} {verb} its power in watts",
                "some BMCs need a licence for it; IPMI may have it: bmc:host=NAME",
            )
        if len(candidates) > 1:
            names = ", ".join(sorted(found.name for found in candidates))
            raise Unavailable(
                f"several chassis of {self._client.name} report power: {names}",
                f"choose the one with this host: bmc:chassis={candidates[0].name}",
            )
        return candidates[0]

    def _chassis_of_systems(self) -> list[str]:
        paths: list[str] = []
        try:
            for path in links(self._client.get(ROOT + "Systems").get("Members")):
                more = self._client.get(path).get("Links")
                paths += links(more.get("Chassis")) if isinstance(more, dict) else []
        except NotFound:
            pass
        return list(dict.fromkeys(paths))

    def _reporting(self, paths: list[str], deadline: float) -> list[Found]:
        candidates = []
        for path in paths:
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"{self._client.name} is too slow to look at its {len(paths)} chassis",
                    f"name one: bmc:chassis={paths[0].rstrip('/').rpartition('/')[2]}",
                )
            try:
                found = self._look(path)
            except NotFound:
                if self._chassis:
                    raise
                continue
            if found is not None:
                candidates.append(found)
        return candidates

    def _look(self, path: str) -> Found | None:
        """Where a chassis reports its power; None if it does not."""
        chassis = self._client.get(path)
        for form in ("EnvironmentMetrics", "Power", "PowerSubsystem"):
            start = link(chassis.get(form))
            if start is None:
                continue
            try:
                paths = [start] if form != "PowerSubsystem" else list(self._supplies(start))
                resources = [self._client.get(one) for one in paths]
            except NotFound:
                continue
            if power_w(form, resources) is not None:
                return Found(chassis, path, form, paths)
        return None

    def _supplies(self, subsystem: str) -> Iterator[str]:
        """The metrics of all power supplies that are there."""
        collection = link(self._client.get(subsystem).get("PowerSupplies"))
        members = links(self._client.get(collection).get("Members")) if collection else []
        for path in members:
            supply = self._client.get(path)
            status = supply.get("Status")
            metrics = link(supply.get("Metrics"))
            absent = isinstance(status, dict) and status.get("State") == "Absent"
            if metrics is not None and not absent:
                yield metrics

    def _firmware(self, found: Found) -> str | None:
        """Of the BMC that manages the chassis."""
        more = found.chassis.get("Links")
        managers = links(more.get("ManagedBy")) if isinstance(more, dict) else []
        try:
            version = self._client.get(managers[0]).get("FirmwareVersion") if managers else None
        except Unavailable:
            return None
        return str(version) if version else None


def _outermost(candidates: list[Found]) -> list[Found]:
    """Those that no other candidate contains: its power includes theirs."""
    paths = {found.path for found in candidates}
    outer = []
    for found in candidates:
        more = found.chassis.get("Links")
        container = link(more.get("ContainedBy")) if isinstance(more, dict) else None
        if container is None or container.rstrip("/") not in paths:
            outer.append(found)
    return outer
