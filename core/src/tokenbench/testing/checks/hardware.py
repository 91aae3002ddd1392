"""Hardware: a probe that does not raise, devices in their units, a valid environment."""

from __future__ import annotations

import re

import attrs

from tokenbench.api import (
    DeviceInfo,
    FrozenMap,
    Hardware,
    PluginError,
    Probe,
    Sample,
)
from tokenbench.api.binding import bind
from tokenbench.testing.kit import Subject, check, fail, skip

from .catalogue import SKU_RANGES, catalogue_of, fail_on_duplicates, hardware_of

# The symbols that every process with accelerators has, for any engine.
_VALUES = {"devices": "0,1", "cpus": "4", "host": "127.0.0.1"}
_LOOKS_LIKE_A_SYMBOL = re.compile(r"\{[A-Za-z][\w.:-]*\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


# -- shared with other checks --------------------------------------------------------------------


def probe_of(subject: Subject) -> Probe:
    """The probe of this machine; skips if it fails."""
    hardware = hardware_of(subject)
    try:
        found = hardware.probe()
    except Exception:
        skip("see probe-never-raises")
    if not isinstance(found, Probe):
        skip("see probe-never-raises")
    return found


def devices_of(subject: Subject) -> tuple[DeviceInfo, ...]:
    """The devices of this machine; skips with the probe's reason if there are none."""
    probe = probe_of(subject)
    return probe.devices or skip(f"no {subject.name} here: {probe.reason}")


# -- the probe -----------------------------------------------------------------------------------


@check(2, "hardware")
def catalogue_only_hardware_finds_nothing(subject: Subject) -> None:
    """Hardware with `catalogue_only` finds no device and has no sampler.

    To fix: remove catalogue_only from its HardwareSpec once it looks for devices.
    """
    if not subject.spec.catalogue_only:
        skip("it looks for devices")
    if probe_of(subject).devices:
        fail("its probe found devices")
    if type(hardware_of(subject)).sampler is not Hardware.sampler:
        fail("it has a sampler")


@check(2, "hardware")
def probe_never_raises(subject: Subject) -> None:
    """`probe()` returns a Probe on any machine, with or without the driver.

    To fix: catch the driver's exceptions and return Probe(reason=..., hint=...).
    """
    hardware = hardware_of(subject)
    try:
        found = hardware.probe()
    except Exception as error:
        fail(f"probe() raised {type(error).__name__}: {error}")
    if not isinstance(found, Probe):
        fail(f"probe() returned a {type(found).__name__}")


@check(2, "hardware")
def absence_has_reason_and_hint(subject: Subject) -> None:
    """A probe without devices has a reason and a hint.

    To fix: Probe(reason="no driver here", hint="install ...").
    """
    probe = probe_of(subject)
    if probe.devices:
        skip("this machine has devices")
    if not (probe.reason or "").strip() or not (probe.hint or "").strip():
        fail(f"no devices, reason {probe.reason!r}, hint {probe.hint!r}")


@check(2, "hardware")
def probe_is_stable(subject: Subject) -> None:
    """A second probe finds the same devices in the same order.

    To fix: sort devices by a constant (their bus address), and keep readings out of DeviceInfo.
    """
    first, again = probe_of(subject).devices, probe_of(subject).devices
    if first != again:
        fail(f"found {first}, then {again}")


@check(2, "hardware")
def device_indexes_are_unique(subject: Subject) -> None:
    """Device indexes are unique and not negative: samples identify devices by index.

    To fix: number them as the driver does.
    """
    indexes = [device.index for device in devices_of(subject)]
    fail_on_duplicates(indexes, "devices have the index")
    if min(indexes) < 0:
        fail(f"a device has the index {min(indexes)}")


@check(2, "hardware")
def device_handles_are_unique(subject: Subject) -> None:
    """Device handles are unique and contain no comma.

    To fix: use the driver's UUID, or omit the handle.
    """
    handles = [device.handle for device in devices_of(subject) if device.handle is not None]
    fail_on_duplicates(handles, "devices have the handle")
    for handle in handles:
        if not handle or "," in handle:
            fail(f"the handle {handle!r} cannot be in a comma-separated list")


@check(2, "hardware")
def device_skus_are_in_the_catalogue(subject: Subject) -> None:
    """An accelerator's `sku` is a name of the catalogue, or None.

    To fix: find the driver's name among the aliases; omit `sku` if none matches.
    """
    if not subject.spec.accelerated:
        skip("its unit is the host, which is not in the catalogue")
    known = {sku.name for sku in catalogue_of(subject)}
    for device in devices_of(subject):
        if device.sku is not None and device.sku not in known:
            fail(f"device {device.index} has the sku {device.sku!r}, not in the catalogue")


@check(2, "hardware")
def device_figures_are_in_their_units(subject: Subject) -> None:
    """A device's memory is in bytes, its power limits are in watts; unknown values are None.

    To fix: convert (drivers report MiB and milliwatts), or omit the field.
    """
    for device in devices_of(subject):
        for field, (least, most) in {
            "memory_bytes": SKU_RANGES["memory_bytes"],
            "power_limit_w": SKU_RANGES["tdp_w"],
            "default_power_limit_w": SKU_RANGES["tdp_w"],
        }.items():
            value = getattr(device, field)
            if value is not None and not least <= value <= most:
                fail(f"device {device.index}: {field} is {value:g}")


@check(2, "hardware")
def probe_notes_name_sample_fields(subject: Subject) -> None:
    """`notes` maps a field of Sample to the reason why it cannot be measured here.

    To fix: use the field's name as key (power_w); other facts belong in `facts`.
    """
    fields = {field.name for field in attrs.fields(Sample)} - {"device"}
    for key, text in probe_of(subject).notes.items():
        if key not in fields or not text.strip():
            fail(f"notes[{key!r}] is {text!r}; fields: {', '.join(sorted(fields))}")


# -- the environment -----------------------------------------------------------------------------


@check(2, "hardware")
def hardware_environment_binds(subject: Subject) -> None:
    """Variables contain no symbols but `{devices}`, `{cpus}` and `{host}`, which every process has.

    To fix: look for a misspelt symbol; variables that depend on the engine belong to the engine.
    """
    for name, text in hardware_of(subject).environment().items():
        try:
            bound = bind(text, _VALUES, f"variable {name}")
        except PluginError as error:
            fail(error.message)
        left = _LOOKS_LIKE_A_SYMBOL.search(bound)
        if left:
            fail(f"variable {name}: unknown symbol {left[0]}")


@check(2, "hardware")
def hardware_environment_has_plain_names(subject: Subject) -> None:
    """Names of variables have only letters, digits and underscores.

    To fix: remove spaces, dashes and equals signs.
    """
    for name in hardware_of(subject).environment():
        if not _VARIABLE.fullmatch(name):
            fail(f"{name!r} is not a valid variable name")


@check(2, "hardware")
def hardware_environment_is_pure(subject: Subject) -> None:
    """The environment is a FrozenMap and constant: it is part of a plan's identity.

    To fix: let it depend on options only; use symbols for values known at launch.
    """
    first, again = hardware_of(subject).environment(), hardware_of(subject).environment()
    if not isinstance(first, FrozenMap) or first != again:
        fail(f"returned {first!r}, then {again!r}")
