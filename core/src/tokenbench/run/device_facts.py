"""Facts about devices from a probe, for provenance, results and checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import attrs

from tokenbench.api import DeviceInfo, PcieLink
from tokenbench.telemetry.collect import source_name

# Values of one moment, and values that results do not need.
_READINGS = frozenset({"index", "memory_used_bytes", "pids"})


def device_facts(devices: Sequence[DeviceInfo]) -> dict[str, str]:
    """All facts about the devices, by flat keys: ``0.uuid``, ``0.pcie.width``."""
    found: dict[str, str] = {}
    for device in devices:
        for name, value in attrs.asdict(device, recurse=False).items():
            parts = attrs.asdict(value) if isinstance(value, PcieLink) else {"": value}
            for part, known in parts.items():
                if known not in (None, ()) and name not in _READINGS:
                    key = ".".join(filter(None, (str(device.index), name, part)))
                    found[key] = ", ".join(known) if isinstance(known, tuple) else str(known)
    return found


def devices_in_short(devices: Sequence[DeviceInfo]) -> str | None:
    """One line for a result: number, name, driver, firmware, power limit and UUID of devices."""
    if not devices:
        return None

    def all_of(values: Iterable[object]) -> str:
        return ", ".join(dict.fromkeys(str(value) for value in values if value is not None))

    limits = (device.power_limit_w for device in devices)
    parts = {
        "": f"{len(devices)} x {all_of(device.name for device in devices)}",
        "driver": all_of(device.driver for device in devices),
        "firmware": all_of(device.firmware for device in devices),
        "limit": all_of(None if limit is None else f"{limit:g} W" for limit in limits),
        "uuid": all_of(device.uuid for device in devices),
    }
    return "; ".join(f"{name} {text}".strip() for name, text in parts.items() if text)


def below_limit(
    devices: Mapping[tuple[str, str], Sequence[DeviceInfo]],
) -> dict[str, tuple[float, float]]:
    """Devices whose power limit is below the board's default: both, in W.

    Args:
        devices: by host and hardware plugin.
    """
    return {
        source_name(f"{plugin} {device.index}", host): (limit, default)
        for (host, plugin), found in devices.items()
        for device in found
        if (limit := device.power_limit_w) is not None
        and (default := device.default_power_limit_w) is not None
        and limit < default
    }
