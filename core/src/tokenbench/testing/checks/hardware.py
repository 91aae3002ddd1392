"""Hardware: a catalogue that is data, a probe that never fails, a sampler that tells the truth."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import attrs

from tokenbench.api import DeviceInfo, FrozenMap, Hardware, PluginError, Probe, Sample, Sku
from tokenbench.api.binding import bind
from tokenbench.testing.kit import Subject, check, fail, skip

from .model import is_iso_date

# What every process with accelerators has, whatever its engine.
_FACTS = {"devices": "0,1", "cpus": "4", "host": "127.0.0.1"}
_LOOKS_LIKE_A_SYMBOL = re.compile(r"\{[A-Za-z][\w.:-]*\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# The least and the most that any chip can have in the field's own unit: what is outside was written
# in another one (GB, TB/s, kW, TFLOP/s).
_SKU_RANGES = {
    "memory_bytes": (1e6, 1e15),
    "memory_bandwidth_bytes_s": (1e8, 1e16),
    "tdp_w": (0.5, 1e5),
}
_FLOPS_RANGE = (1e9, 1e19)


# -- what the checks look at ---------------------------------------------------------------------


def hardware_of(subject: Subject) -> Hardware:
    """The hardware as its factory makes it."""
    made = subject.spec.factory(subject.options)
    if not isinstance(made, Hardware):
        skip("hardware-factory-returns-hardware says why")
    return made


def _catalogue(subject: Subject) -> tuple[Sku, ...]:
    skus = hardware_of(subject).catalogue()
    if not isinstance(skus, Sequence) or not all(isinstance(sku, Sku) for sku in skus):
        skip("catalogue-is-a-sequence-of-skus says why")
    return tuple(skus)


def probe_of(subject: Subject) -> Probe:
    """What is on this machine; skips where the probe itself is at fault."""
    hardware = hardware_of(subject)
    try:
        found = hardware.probe()
    except Exception:
        skip("probe-never-raises says why")
    if not isinstance(found, Probe):
        skip("probe-never-raises says why")
    return found


def devices_of(subject: Subject) -> tuple[DeviceInfo, ...]:
    """The devices of this machine; skips with the probe's reason where there is none."""
    probe = probe_of(subject)
    return probe.devices or skip(f"no {subject.name} here: {probe.reason}")


# -- the catalogue -------------------------------------------------------------------------------


@check(2, "hardware")
def hardware_factory_returns_hardware(subject: Subject) -> None:
    """`factory(options)` gives a `tokenbench.api.Hardware`.

    To fix: derive the class from Hardware and return an instance of it.
    """
    made = subject.spec.factory(subject.options)
    if not isinstance(made, Hardware):
        fail(f"the factory gives a {type(made).__name__}")


@check(2, "hardware")
def catalogue_is_a_sequence_of_skus(subject: Subject) -> None:
    """`catalogue()` is a list or tuple of `Sku`.

    To fix: make each entry with Sku(...), and return all of them at once.
    """
    skus = hardware_of(subject).catalogue()
    if not isinstance(skus, Sequence):
        fail(f"the catalogue is a {type(skus).__name__}")
    for sku in skus:
        if not isinstance(sku, Sku):
            fail(f"{sku!r} is no Sku")


@check(2, "hardware")
def accelerators_have_a_catalogue(subject: Subject) -> None:
    """Hardware with accelerators knows at least one chip by name.

    To fix: add an Sku for each chip, or say accelerated=False if its unit is the host.
    """
    if not subject.spec.accelerated:
        skip("it has no accelerators")
    if not _catalogue(subject):
        fail("the catalogue is empty")


@check(2, "hardware")
def catalogue_is_pure(subject: Subject) -> None:
    """The catalogue is data: the same each time, from each instance.

    To fix: build it at import from constants; what is found on the machine belongs in probe().
    """
    if tuple(_catalogue(subject)) != tuple(_catalogue(subject)):
        fail("the catalogue differs when asked again")


@check(2, "hardware")
def catalogue_names_are_unique(subject: Subject) -> None:
    """No two chips of the catalogue have one name.

    To fix: name variants apart (h100, h100-pcie).
    """
    _fail_on_duplicates([sku.name for sku in _catalogue(subject)], "entries are called")


@check(2, "hardware")
def aliases_are_lower_case(subject: Subject) -> None:
    """Aliases are lower case, without spaces around them: they are compared with a driver's text.

    To fix: write them in lower case, and lower the driver's name before comparing.
    """
    for sku in _catalogue(subject):
        for alias in sku.aliases:
            if alias != alias.lower().strip() or not alias:
                fail(f"{sku.name} has the alias {alias!r}")


@check(2, "hardware")
def aliases_are_unique(subject: Subject) -> None:
    """A driver's name means one chip only.

    To fix: give each alias to one entry; what a driver cannot tell apart is one entry.
    """
    _fail_on_duplicates(
        [a for sku in _catalogue(subject) for a in sku.aliases], "entries have the alias"
    )


@check(2, "hardware")
def skus_have_source_and_date(subject: Subject) -> None:
    """Each chip says where its figures come from, and when (2026-11 or 2026-11-21).

    To fix: name the data sheet, and the day or month that you read it.
    """
    for sku in _catalogue(subject):
        if not sku.source.strip() or not is_iso_date(sku.date):
            fail(f"{sku.name}: source {sku.source!r}, date {sku.date!r}")


@check(2, "hardware")
def sku_figures_are_positive(subject: Subject) -> None:
    """What is not known of a chip is None, never 0 or -1.

    To fix: leave the field out.
    """
    for name, value, _ in _figures(_catalogue(subject)):
        if value <= 0:
            fail(f"{name} is {value}")


@check(2, "hardware")
def sku_figures_are_in_their_units(subject: Subject) -> None:
    """Bytes, bytes per second, watts, floating-point operations per second: as the names say.

    To fix: convert; 80 GiB is 80 << 30 bytes, 989 TFLOP/s is 989e12.
    """
    for name, value, (least, most) in _figures(_catalogue(subject)):
        if value > 0 and not least <= value <= most:
            fail(f"{name} is {value:g}: outside of what a chip can have in that unit")


def _figures(skus: Sequence[Sku]) -> Iterator[tuple[str, float, tuple[float, float]]]:
    """Each known figure with its name and the range that its unit allows."""
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
    """`probe()` gives a Probe on any machine, with the driver or without.

    To fix: catch what the driver raises and return Probe(reason=..., hint=...).
    """
    hardware = hardware_of(subject)
    try:
        found = hardware.probe()
    except Exception as error:
        fail(f"probe() raised {type(error).__name__}: {error}")
    if not isinstance(found, Probe):
        fail(f"probe() gives a {type(found).__name__}")


@check(2, "hardware")
def absence_has_reason_and_hint(subject: Subject) -> None:
    """A probe without devices says why, and what would help.

    To fix: Probe(reason="no driver here", hint="install ...").
    """
    probe = probe_of(subject)
    if probe.devices:
        skip("it is here")
    if not (probe.reason or "").strip() or not (probe.hint or "").strip():
        fail(f"no devices, reason {probe.reason!r}, hint {probe.hint!r}")


@check(2, "hardware")
def probe_is_stable(subject: Subject) -> None:
    """Asked again, the probe finds the same devices in the same order.

    To fix: sort devices by what does not change (their bus address), and keep readings out of
    DeviceInfo.
    """
    first, again = probe_of(subject).devices, probe_of(subject).devices
    if first != again:
        fail(f"found {first}, then {again}")


@check(2, "hardware")
def device_indexes_are_unique(subject: Subject) -> None:
    """Each device has a number of its own, from 0 up: samples carry nothing else.

    To fix: number them as the driver does.
    """
    indexes = [device.index for device in devices_of(subject)]
    _fail_on_duplicates(indexes, "devices have the number")
    if min(indexes) < 0:
        fail(f"a device has the number {min(indexes)}")


@check(2, "hardware")
def device_handles_are_unique(subject: Subject) -> None:
    """No two devices are named to a process in the same way, nor with a comma in the name.

    To fix: use the driver's UUID, or leave the handle out.
    """
    handles = [device.handle for device in devices_of(subject) if device.handle is not None]
    _fail_on_duplicates(handles, "devices have the handle")
    for handle in handles:
        if not handle or "," in handle:
            fail(f"the handle {handle!r} cannot stand in a comma-separated list")


@check(2, "hardware")
def device_skus_are_in_the_catalogue(subject: Subject) -> None:
    """A found accelerator's `sku` is a name of the catalogue, or None if it is not in it.

    To fix: look the driver's name up among the aliases; leave `sku` out where nothing matches.
    """
    if not subject.spec.accelerated:
        skip("its unit is the host, which names itself")
    known = {sku.name for sku in _catalogue(subject)}
    for device in devices_of(subject):
        if device.sku is not None and device.sku not in known:
            fail(f"device {device.index} is a {device.sku!r}, which the catalogue lacks")


@check(2, "hardware")
def device_figures_are_in_their_units(subject: Subject) -> None:
    """A device's memory is in bytes and its power limits are in watts; what is unknown is None.

    To fix: convert (drivers tell MiB and milliwatts), or leave the field out.
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
    """`notes` says of a field of Sample why it cannot be measured here, in words.

    To fix: use the field's name as key (power_w); other facts belong in `facts`.
    """
    fields = {field.name for field in attrs.fields(Sample)} - {"device"}
    for key, text in probe_of(subject).notes.items():
        if key not in fields or not text.strip():
            fail(f"notes[{key!r}] is {text!r}; fields: {', '.join(sorted(fields))}")


# -- the environment -----------------------------------------------------------------------------


@check(2, "hardware")
def hardware_environment_binds(subject: Subject) -> None:
    """Variables hold no symbol but `{devices}`, `{cpus}` and `{host}`, which every process has.

    To fix: look for a misspelt symbol; what an engine knows better belongs to the engine.
    """
    for name, text in hardware_of(subject).environment().items():
        try:
            bound = bind(text, _FACTS, f"variable {name}")
        except PluginError as error:
            fail(error.message)
        left = _LOOKS_LIKE_A_SYMBOL.search(bound)
        if left:
            fail(f"variable {name}: {left[0]} is no symbol")


@check(2, "hardware")
def hardware_environment_has_plain_names(subject: Subject) -> None:
    """Variables can be set in any shell: letters, digits and underscores.

    To fix: leave out spaces, dashes and the equals sign.
    """
    for name in hardware_of(subject).environment():
        if not _VARIABLE.fullmatch(name):
            fail(f"{name!r} is not the name of a variable")


@check(2, "hardware")
def hardware_environment_is_pure(subject: Subject) -> None:
    """The environment is a FrozenMap, the same each time: it belongs to a plan's identity.

    To fix: let it depend on options only; what is known at launch is a symbol.
    """
    first, again = hardware_of(subject).environment(), hardware_of(subject).environment()
    if not isinstance(first, FrozenMap) or first != again:
        fail(f"gave {first!r}, then {again!r}")
