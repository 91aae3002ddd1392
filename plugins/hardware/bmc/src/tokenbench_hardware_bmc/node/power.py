"""Values in Redfish resources. Services omit properties, set them to null, or quote numbers."""

from __future__ import annotations

from typing import Any

_J_PER_KWH = 3.6e6
# Steps of 1 Wh. A coarser counter is useless for a measurement of a minute.
_LEAST_DECIMALS = 3


def power_w(form: str, resources: list[dict[str, Any]]) -> float | None:
    """The power of a chassis in one of its forms; None if it is not reported.

    Cisco's and other services report 0 W if they do not measure.
    """
    if form == "PowerSubsystem":
        inputs = [_reading(resource, "InputPowerWatts") for resource in resources]
        known = [watts for watts in inputs if watts is not None]
        watts = sum(known) if known and len(known) == len(inputs) else None
    elif form == "Power":
        watts = _consumed(resources[0])
    else:
        watts = _reading(resources[0], "PowerWatts")
    return watts if watts is not None and watts > 0 else None


def energy_j(metrics: dict[str, Any]) -> float | None:
    """The energy counter of environment metrics; None if there is none, or a coarse one."""
    joules = _reading(metrics, "EnergyJoules")
    if joules is not None:
        return joules
    kwh = _reading(metrics, "EnergykWh")
    if kwh is None or len(repr(kwh).partition(".")[2]) < _LEAST_DECIMALS:
        return None
    return kwh * _J_PER_KWH


def number(value: Any) -> float | None:
    """A number, also in quotes; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if abs(found) < float("inf") else None


def link(value: Any) -> str | None:
    """The path that a reference names, without its fragment."""
    path = value.get("@odata.id") if isinstance(value, dict) else None
    return path.partition("#")[0] if isinstance(path, str) and path.startswith("/") else None


def links(value: Any) -> list[str]:
    """The paths of a list of references."""
    found = [link(item) for item in value] if isinstance(value, list) else []
    return [path for path in found if path is not None]


def _reading(resource: dict[str, Any], name: str) -> float | None:
    sensor = resource.get(name)
    return number(sensor.get("Reading")) if isinstance(sensor, dict) else None


def _consumed(power: dict[str, Any]) -> float | None:
    """Of the entry for the chassis, otherwise of the first one with a number."""
    entries = power.get("PowerControl")
    found = (
        [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    )
    found.sort(key=lambda entry: entry.get("PhysicalContext") != "Chassis")
    values = (number(entry.get("PowerConsumedWatts")) for entry in found)
    return next((watts for watts in values if watts is not None), None)
