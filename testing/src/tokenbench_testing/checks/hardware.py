"""Hardware: a probe that does not raise, devices in their units, a valid environment."""

from __future__ import annotations

import ast
import importlib
import json
import re
from collections.abc import Iterator
from typing import Any

import attrs

from tokenbench.api import (
    DeviceInfo,
    DeviceSettings,
    NodeProgram,
    PluginError,
    Probe,
    Sample,
)
from tokenbench.harness import HostProgram, bind
from tokenbench_testing.kit import Subject, check, fail, skip

from .catalogue import SKU_RANGES, catalogue_of, fail_on_duplicates, hardware_of

# The symbols that every process with accelerators has, for any engine.
_VALUES = {"devices": "0,1", "cpus": "4", "host": "127.0.0.1"}
_LOOKS_LIKE_A_SYMBOL = re.compile(r"\{[A-Za-z][\w.:-]*\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OLDEST_PYTHON = (3, 8)
_NOT_ON_HOSTS = ("tokenbench", "attrs", "attr")


# -- shared with other checks --------------------------------------------------------------------


def program_of(subject: Subject) -> NodeProgram:
    """The plugin's node program; skips if it has none."""
    return hardware_of(subject).program() or skip("it has a catalogue only")


def on_host(subject: Subject) -> HostProgram:
    """The node program as core runs it on hosts."""
    return HostProgram(subject.name, subject.distribution, program_of(subject))


def module_of(subject: Subject) -> tuple[Any, dict[str, Any]]:
    """The module of the node program, and its options."""
    program = program_of(subject)
    try:
        return importlib.import_module(program.module), dict(program.options)
    except ImportError:
        skip("see node-program-is-python-for-hosts")


def probe_of(subject: Subject) -> Probe:
    """The probe of this machine; skips if it fails."""
    module, options = module_of(subject)
    try:
        return on_host(subject).to_probe(module.probe(options))
    except Exception:
        skip("see probe-never-raises")


def devices_of(subject: Subject) -> tuple[DeviceInfo, ...]:
    """The devices of this machine; skips with the probe's reason if there are none."""
    probe = probe_of(subject)
    return probe.devices or skip(f"no {subject.name} here: {probe.reason}")


# -- the node program ----------------------------------------------------------------------------


@check(2, "hardware")
def catalogue_only_hardware_has_no_program(subject: Subject) -> None:
    """Hardware has a node program, or `catalogue_only` in its HardwareSpec.

    To fix: remove catalogue_only once there is a program; set it if `program()` returns None.
    """
    has_program = hardware_of(subject).program() is not None
    if has_program == subject.spec.catalogue_only:
        fail(f"catalogue_only is {has_program}, program() returns {'one' if has_program else None}")


@check(2, "hardware")
def node_program_is_python_for_hosts(subject: Subject) -> None:
    """The node program's files are Python 3.8, and import neither tokenbench nor attrs: a host has
    neither.

    To fix: return dicts, put `from __future__ import annotations` first, and avoid newer syntax.
    """
    for name, text in on_host(subject).files().items():
        try:
            tree = ast.parse(text, feature_version=_OLDEST_PYTHON)
        except SyntaxError as error:
            fail(f"{name}:{error.lineno}: {error.msg}")
        for line, module in _imports(tree):
            if module.partition(".")[0] in _NOT_ON_HOSTS:
                fail(f"{name}:{line} imports {module}")


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of each module that is imported absolutely."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.lineno, node.module or ""


@check(2, "hardware")
def node_program_runs_in_the_agent(subject: Subject) -> None:
    """The node agent, which has the program's files and its bindings only, gets the same devices.

    To fix: import own files relatively, and name other modules in `bindings`.
    """
    here = probe_of(subject)
    found = on_host(subject).probe()
    if [device.index for device in found.devices] != [device.index for device in here.devices]:
        fail(f"it found {found.devices}, imported here {here.devices}")


# -- the probe -----------------------------------------------------------------------------------


@check(2, "hardware")
def probe_never_raises(subject: Subject) -> None:
    """`probe(options)` returns a Probe as dict on any machine, with or without the driver.

    To fix: catch the driver's exceptions and return {"reason": ..., "hint": ...}.
    """
    module, options = module_of(subject)
    try:
        found = module.probe(options)
    except Exception as error:
        fail(f"probe() raised {type(error).__name__}: {error}")
    on_host(subject).to_probe(json.loads(json.dumps(found)))


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

    To fix: sort devices by a constant, for example their bus address.
    """
    first, again = (
        [attrs.evolve(d, memory_used_bytes=None, pids=None, pcie=None) for d in found.devices]
        for found in (probe_of(subject), probe_of(subject))
    )
    if first != again:
        fail(f"found {first}, then {again}")


@check(2, "hardware")
def devices_are_distinct(subject: Subject) -> None:
    """Indexes of devices are unique and not negative, their handles unique and without a comma.

    To fix: number devices as the driver does; use its UUID as the handle, or omit it.
    """
    devices = devices_of(subject)
    indexes = [device.index for device in devices]
    handles = [device.handle for device in devices if device.handle is not None]
    fail_on_duplicates(indexes, "devices have the index")
    fail_on_duplicates(handles, "devices have the handle")
    if min(indexes) < 0:
        fail(f"a device has the index {min(indexes)}")
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
            "memory_used_bytes": (0, 1e15),
            "max_clock_hz": (1e6, 1e11),
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


# -- what processes need -------------------------------------------------------------------------


@check(2, "hardware")
def device_settings_bind(subject: Subject) -> None:
    """Variables have plain names, and no symbols but `{devices}`, `{cpus}` and `{host}`, which
    every process has.

    To fix: look for a misspelt symbol; variables that depend on the engine belong to the engine.
    """
    for sku, settings in _settings(subject):
        for name, text in (pair for one in settings for pair in one.environment.items()):
            if not _VARIABLE.fullmatch(name):
                fail(f"settings({sku!r}): {name!r} is not a valid variable name")
            try:
                bound = bind(text, _VALUES, f"variable {name}")
            except PluginError as error:
                fail(error.message)
            left = _LOOKS_LIKE_A_SYMBOL.search(bound)
            if left:
                fail(f"settings({sku!r}): variable {name}: unknown symbol {left[0]}")


@check(2, "hardware")
def device_settings_have_reasons(subject: Subject) -> None:
    """Each of `settings(sku)` has a reason, which `bench plan --explain` shows.

    To fix: say in a few words what the setting is for.
    """
    for sku, settings in _settings(subject):
        for one in settings:
            if not one.reason.strip():
                fail(f"settings({sku!r}) has no reason for {one}")


@check(2, "hardware")
def device_settings_are_pure(subject: Subject) -> None:
    """Settings depend on the SKU and on options only: they are part of a plan's identity.

    To fix: use symbols for values known at launch.
    """
    if _settings(subject) != _settings(subject):
        fail("a second call of settings() gives a different result")


def _settings(subject: Subject) -> list[tuple[str | None, tuple[DeviceSettings, ...]]]:
    """The settings of every SKU, and of a device without one."""
    hardware = hardware_of(subject)
    names = [None, *(sku.name for sku in catalogue_of(subject))]
    return [(name, tuple(hardware.settings(name))) for name in names]
