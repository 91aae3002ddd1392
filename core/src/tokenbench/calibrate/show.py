"""A calibration as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_MS, _US = 1e3, 1e6
_ENDED = {
    "client": "the client reached its limit",
    "server": "the reference server reached its own limit; the client may reach further",
    "most": "the end of what is tried",
    "list": "the end of the list",
    "interrupted": "interrupted",
}
BUSY = 0.1
"""Above this share of the cores in other hands, the reader is told."""
STOLEN = 0.01
"""Above this share of their time, a hypervisor shows in percentiles: p99 is one in a hundred."""


def line(step: dict[str, Any]) -> str:
    """One level, as it comes."""
    ttft = step["errors"]["ttft"]
    shown = "no request" if ttft is None else f"TTFT error mean {ttft['mean'] * _MS:.3f} ms"
    return f"concurrency {step['concurrency']}: {shown}; {'; '.join(step['limits']) or 'all holds'}"


def table(data: dict[str, Any], console: Console) -> None:
    """The errors at each level, the envelope and the way to it."""
    from rich.table import Table

    made = Table(box=None, pad_edge=False, header_style="bold")
    made.add_column("streams", justify="right")
    for name in ("tok/s", "CPU", "TTFT ms", "TPOT µs", "ITL ms", "E2E ms", "server ms"):
        made.add_column(name, justify="right")
    made.add_column("checks")
    for step in data["steps"]:
        errors = step["errors"]
        late = errors["lateness"]
        made.add_row(
            str(step["concurrency"]),
            f"{step['tokens_per_s']:,.0f}",
            f"{step['client_cpu_share']:.0%}",
            _three(errors["ttft"], _MS),
            _three(errors["tpot"], _US),
            _three(errors["itl"], _MS),
            _three(errors["e2e"], _MS),
            "-" if late is None else f"{late['p99'] * _MS:.3f}",
            {None: "hold", "server": "server late"}.get(step["ended_by"], "fail"),
        )
    console.print("error of the client: mean / p50 / p99; server: its own p99 lateness")
    console.print(made)
    envelope = data["envelope"]
    console.print(f"certified envelope: {_streams(envelope['streams'])}")
    console.print(f"  {_ENDED[envelope['ended_by']]}: {envelope['why']}", soft_wrap=True)
    path = (
        f"{s['concurrency']}{' ' + s['ended_by'] if s['ended_by'] else ''}"
        for s in envelope["path"]
    )
    console.print(f"  path: {', '.join(path)}", soft_wrap=True)
    for note in notes(data):
        console.print(f"note: {note}")


def notes(data: dict[str, Any]) -> list[str]:
    """What to know about the numbers."""
    found = []
    if data["shared_core"]:
        found.append("server and client share the one core: the numbers mean little")
    if data["busy_share_before"] > BUSY:
        share = data["busy_share_before"]
        found.append(
            f"other programs used {share:.0%} of these cores: repeat it when they are idle"
        )
    stolen = max((step.get("stolen_share") or 0.0 for step in data["steps"]), default=0.0)
    if stolen > STOLEN:
        found.append(
            f"the hypervisor took up to {stolen:.1%} of these cores' time: what is late for that "
            "is neither the client's fault nor the server's"
        )
    return found


def _streams(count: int | None) -> str:
    return "none" if count is None else f"{count} streams"


def _three(spread: dict[str, float] | None, factor: float) -> str:
    if spread is None:
        return "-"
    return " / ".join(_short(spread[name] * factor) for name in ("mean", "p50", "p99"))


def _short(value: float) -> str:
    """Three digits that count."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.01 else f"{value:.3f}"
