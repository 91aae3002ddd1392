"""``bench doctor``: this machine, needs of plugins, and what would disturb a measurement."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from .streams import Command, echo
from .table import print_table, printable

if TYPE_CHECKING:
    from tokenbench.api import DeviceInfo
    from tokenbench.telemetry.doctor import Examination, HardwareFinding

_GIB = 1 << 30


@click.command("doctor", cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with all that is known.")
@click.pass_obj
def command(obj: dict[str, tuple[str, ...]], as_json: bool) -> None:
    """Show what this machine has, what plugins need, and what would spoil a measurement."""
    from tokenbench.plugins.registry import PluginRegistry
    from tokenbench.telemetry.doctor import examine

    found = examine(PluginRegistry(without=obj["without"]))
    if as_json:
        echo(json.dumps(_data(found), indent=2))
        return
    print_table([[name, printable(fact)] for name, fact in found.machine.items()])
    echo()
    print_table(
        [["HARDWARE", "READS", "HERE"], *([h.plugin, h.domain, _here(h)] for h in found.hardware)]
    )
    _show_devices(found)
    echo()
    _show_missing(found)
    _show_needs(found)
    _show_problems(found)


def _here(finding: HardwareFinding) -> str:
    probe = finding.probe
    if probe is None:
        return printable(f"failed: {finding.error}")
    if not probe.devices:
        return printable(f"no: {probe.reason}; to fix: {probe.hint}")
    names = dict.fromkeys(device.name for device in probe.devices)
    return printable(f"{len(probe.devices)} x {', '.join(names)}")


def _show_devices(found: Examination) -> None:
    rows = [
        _row(finding.plugin, device)
        for finding in found.hardware
        for device in (finding.probe.devices if finding.probe else ())
    ]
    if not rows:
        return
    head = ["DEVICE", "SKU", "DRIVER", "MEMORY", "LIMIT", "CLOCK", "ECC", "NUMA", "PCIE", "LINKS"]
    table = [head, *rows]
    # Columns that no device has are left out.
    used = [i for i in range(len(head)) if any(row[i] != "-" for row in rows)]
    echo()
    print_table([[row[i] for i in used] for row in table])


def _row(plugin: str, device: DeviceInfo) -> list[str]:
    link = device.pcie
    pcie = None
    if link is not None and link.width is not None:
        pcie = f"gen {link.generation or '?'} x{link.width}"
    values = (
        f"{plugin} {device.index}",
        device.sku or device.name,
        device.driver,
        _in(device.memory_bytes, _GIB, "GiB"),
        _in(device.power_limit_w, 1, "W"),
        _in(device.max_clock_hz, 1e6, "MHz"),
        None if device.ecc is None else ("on" if device.ecc else "off"),
        device.numa_node,
        pcie,
        device.scale_up_links,
    )
    return ["-" if value is None else str(value) for value in values]


def _in(value: float | None, size: float, unit: str) -> str | None:
    return None if value is None else f"{value / size:,.0f} {unit}"


def _show_missing(found: Examination) -> None:
    """What cannot be measured here, with one line for each reason."""
    for finding in found.hardware:
        notes = finding.probe.notes if finding.probe is not None else {}
        for why in dict.fromkeys(notes.values()):
            fields = ", ".join(field for field, text in notes.items() if text == why)
            echo(printable(f"not measured: {finding.plugin}: {fields}: {why}"))


def _show_needs(found: Examination) -> None:
    missing = [extra for extra in found.extras if extra.missing]
    if missing:
        echo("\nnot installed, needed only if you use it:")
        print_table([[e.distribution, ", ".join(e.missing), printable(e.install)] for e in missing])
    for finding in found.hardware:
        if finding.unproven is not None:
            echo(printable(f"unproven: {finding.plugin}: {finding.unproven}"))


def _show_problems(found: Examination) -> None:
    problems = [*found.problems, *(p for h in found.hardware for p in h.problems)]
    echo()
    if not problems:
        echo("nothing here would disturb a measurement")
    for problem in problems:
        echo(printable(f"warning: {problem.what}; to fix: {problem.fix}"))


def _data(found: Examination) -> dict[str, Any]:
    """All that is known, as plain data: what is not known is null."""
    import attrs

    from tokenbench.plan.canonical import plain

    return {
        "machine": found.machine,
        "problems": [attrs.asdict(problem) for problem in found.problems],
        "hardware": [plain(finding) for finding in found.hardware],
        "extras": [{**attrs.asdict(extra), "install": extra.install} for extra in found.extras],
    }
