"""Hardware: a catalogue of plain data, a probe that does not raise, a valid environment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import attrs

from tokenbench.api import DeviceInfo, FrozenMap, Hardware, PluginError, Probe, Sample, Sku
from tokenbench.api.binding import bind
from tokenbench.testing.kit import Subject, check, fail, skip

from .model import is_iso_date

# The symbols that every process with accelerators has, for any engine.
_VALUES = {"devices": "0,1", "cpus": "4", "host": "127.0.0.1"}
_LOOKS_LIKE_A_SYMBOL = re.compile(r"\{[A-Za-z][\w.:-]*\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Plausible range of each field in its unit. Values outside are in another unit (GB, TB/s, kW,
# TFLOP/s).
_SKU_RANGES = {
    "memory_bytes": (1e6, 1e15),
    "memory_bandwidth_bytes_s": (1e8, 1e16),
    "tdp_w": (0.5, 1e5),
}
_FLOPS_RANGE = (1e9, 1e19)


# -- shared with other checks --------------------------------------------------------------------


def hardware_of(subject: Subject) -> Hardware:
    """The object that the factory returns."""
    made = subject.spec.factory(subject.options)
    if not isinstance(made, Hardware):
        skip("see hardware-factory-returns-hardware")
    return made


def _catalogue(subject: Subject) -> tuple[Sku, ...]:
    skus = hardware_of(subject).catalogue()
    if not isinstance(skus, Sequence) or not all(isinstance(sku, Sku) for sku in skus):
        skip("see catalogue-is-a-sequence-of-skus")
    return tuple(skus)


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


# -- the catalogue -------------------------------------------------------------------------------


@check(2, "hardware")
def hardware_factory_returns_hardware(subject: Subject) -> None:
    """`factory(options)` returns a `tokenbench.api.Hardware`.

    To fix: derive the class from Hardware and return an instance of it.
    """
    made = subject.spec.factory(subject.options)
    if not isinstance(made, Hardware):
        fail(f"the factory returned a {type(made).__name__}")


@check(2, "hardware")
def catalogue_is_a_sequence_of_skus(subject: Subject) -> None:
    """`catalogue()` returns a list or tuple of `Sku`.

    To fix: create each entry with Sku(...), and return all of them at once.
    """
    skus = hardware_of(subject).catalogue()
    if not isinstance(skus, Sequence):
        fail(f"the catalogue is a {type(skus).__name__}")
    for sku in skus:
        if not isinstance(sku, Sku):
            fail(f"{sku!r} is not a Sku")


@check(2, "hardware")
def accelerators_have_a_catalogue(subject: Subject) -> None:
    """Hardware with accelerators has at least one chip in its catalogue.

    To fix: add an Sku for each chip, or set accelerated=False if its unit is the host.
    """
    if not subject.spec.accelerated:
        skip("it has no accelerators")
    if not _catalogue(subject):
        fail("the catalogue is empty")


@check(2, "hardware")
def catalogue_is_pure(subject: Subject) -> None:
    """The catalogue is constant, also in another instance.

    To fix: build it from constants at import; facts of this machine belong in probe().
    """
    if tuple(_catalogue(subject)) != tuple(_catalogue(subject)):
        fail("a second call of catalogue() gives a different result")


@check(2, "hardware")
def catalogue_names_are_unique(subject: Subject) -> None:
    """Names in the catalogue are unique.

    To fix: name variants differently (h100, h100-pcie).
    """
    _fail_on_duplicates([sku.name for sku in _catalogue(subject)], "entries have the name")


@check(2, "hardware")
def aliases_are_lower_case(subject: Subject) -> None:
    """Aliases are lower case, without surrounding spaces: they are compared with a driver's text.

    To fix: write them in lower case.
    """
    for sku in _catalogue(subject):
        for alias in sku.aliases:
            if alias != alias.lower().strip() or not alias:
                fail(f"{sku.name} has the alias {alias!r}")


@check(2, "hardware")
def aliases_are_unique(subject: Subject) -> None:
    """A driver's name identifies one chip.

    To fix: give each alias to one entry; chips that a driver cannot distinguish are one entry.
    """
    _fail_on_duplicates(
        [a for sku in _catalogue(subject) for a in sku.aliases], "entries have the alias"
    )


@check(2, "hardware")
def skus_have_source_and_date(subject: Subject) -> None:
    """Each chip has the source of its figures, and its date (2026-11 or 2026-11-21).

    To fix: name the data sheet, and the day or month you read it.
    """
    for sku in _catalogue(subject):
        if not sku.source.strip() or not is_iso_date(sku.date):
            fail(f"{sku.name}: source {sku.source!r}, date {sku.date!r}")


@check(2, "hardware")
def sku_figures_are_positive(subject: Subject) -> None:
    """Unknown figures of a chip are None, never 0 or -1.

    To fix: omit the field.
    """
    for name, value, _ in _figures(_catalogue(subject)):
        if value <= 0:
            fail(f"{name} is {value}")


@check(2, "hardware")
def sku_figures_are_in_their_units(subject: Subject) -> None:
    """Figures are in bytes, bytes per second, watts and FLOP/s, as their names say.

    To fix: convert; 80 GiB is 80 << 30 bytes, 989 TFLOP/s is 989e12.
    """
    for name, value, (least, most) in _figures(_catalogue(subject)):
        if value > 0 and not least <= value <= most:
            fail(f"{name} is {value:g}, expected {least:g} to {most:g}: is it in another unit?")


def _figures(skus: Sequence[Sku]) -> Iterator[tuple[str, float, tuple[float, float]]]:
    """Each known figure with its name and the plausible range."""
    for sku in skus:
        for field, limits in _SKU_RANGES.items():
            value = getattr(sku, field)
            if value is not None:
                yield f"{sku.name}.{field}", value, limits
        for kind, flops in sku.dense_flops.items():
            yield f"{sku.name}.dense_flops[{kind}]", flops, _FLOPS_RANGE


def _fail_on_duplicates(names: Sequence[object], what: str) -> None:
    for name in names:
        if names.count(name) > 1:
            fail(f"{names.count(name)} {what} {name!r}")


# -- the probe -----------------------------------------------------------------------------------


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
    _fail_on_duplicates(indexes, "devices have the index")
    if min(indexes) < 0:
        fail(f"a device has the index {min(indexes)}")


@check(2, "hardware")
def device_handles_are_unique(subject: Subject) -> None:
    """Device handles are unique and contain no comma.

    To fix: use the driver's UUID, or omit the handle.
    """
    handles = [device.handle for device in devices_of(subject) if device.handle is not None]
    _fail_on_duplicates(handles, "devices have the handle")
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
    known = {sku.name for sku in _catalogue(subject)}
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
            "memory_bytes": _SKU_RANGES["memory_bytes"],
            "power_limit_w": _SKU_RANGES["tdp_w"],
            "default_power_limit_w": _SKU_RANGES["tdp_w"],
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
