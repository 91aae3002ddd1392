"""A calibration as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenbench.measure.checks import percent

if TYPE_CHECKING:
    from rich.console import Console

_MS, _US = 1e3, 1e6
_ENDED = {
    "client": "the client reached its limit",
    "server": "the reference server reached its own limit; the client's may be higher",
    "max": "the end of the search range",
    "list": "the end of the list",
    "interrupted": "interrupted",
}
BUSY = 0.1
"""Other programs' share of the cores above which a note warns."""
STOLEN = 0.01
"""Stolen share above which a note warns: above 1 % it affects p99."""


def line(step: dict[str, Any]) -> str:
    """One finished level as a line of progress."""
    ttft = step["errors"]["ttft"]
    error = "no request" if ttft is None else f"TTFT error mean {ttft['mean'] * _MS:.3f} ms"
    limits = "; ".join(step["limits"]) or "all checks pass"
    return f"concurrency {step['concurrency']}: {error}; {limits}"


def table(data: dict[str, Any], console: Console) -> None:
    """Print the client's errors at each level, the envelope and the path of the search."""
    from rich.table import Table

    rows = Table(box=None, pad_edge=False, header_style="bold")
    rows.add_column("concurrency", justify="right")
    for name in ("tok/s", "CPU", "TTFT ms", "TPOT µs", "ITL ms", "E2E ms", "server ms"):
        rows.add_column(name, justify="right")
    rows.add_column("checks")
    for step in data["steps"]:
        errors = step["errors"]
        late = errors["lateness"]
        rows.add_row(
            str(step["concurrency"]),
            f"{step['tokens_per_s']:,.0f}",
            f"{step['client_cpu_share']:.0%}",
            _three(errors["ttft"], _MS),
            _three(errors["tpot"], _US),
            _three(errors["itl"], _MS),
            _three(errors["e2e"], _MS),
            "-" if late is None else f"{late['p99'] * _MS:.3f}",
            {None: "pass", "server": "server late"}.get(step["ended_by"], "fail"),
        )
    console.print("client errors: mean / p50 / p99; server: p99 of its own lateness")
    console.print(rows)
    envelope = data["envelope"]
    highest = envelope["concurrency"]
    text = "none" if highest is None else f"concurrency {highest}"
    console.print(f"certified envelope: {text}")
    console.print(f"  {_ENDED[envelope['ended_by']]}: {envelope['reason']}", soft_wrap=True)
    path = (
        f"{s['concurrency']}{' ' + s['ended_by'] if s['ended_by'] else ''}"
        for s in envelope["path"]
    )
    console.print(f"  path: {', '.join(path)}", soft_wrap=True)
    for note in notes(data):
        console.print(f"note: {note}")


def notes(data: dict[str, Any]) -> list[str]:
    """Warnings about the conditions of the measurement."""
    warnings = []
    if data["shared_core"]:
        warnings.append("server and client share one core: the errors are not meaningful")
    if data["busy_share_before"] > BUSY:
        share = data["busy_share_before"]
        warnings.append(
            f"other programs used {percent(share, 0)} of these cores: repeat when they are idle"
        )
    stolen = max((step.get("stolen_share") or 0.0 for step in data["steps"]), default=0.0)
    if stolen > STOLEN:
        warnings.append(
            f"the hypervisor took up to {percent(stolen)} of these cores' time, which may delay "
            "client and server alike"
        )
    return warnings


def _three(spread: dict[str, float] | None, factor: float) -> str:
    if spread is None:
        return "-"
    return " / ".join(_short(spread[name] * factor) for name in ("mean", "p50", "p99"))


def _short(value: float) -> str:
    """Three significant digits."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.01 else f"{value:.3f}"
