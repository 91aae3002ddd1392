"""``bench calibrate``."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tokenbench.api.errors import Interrupted, UsageError

from .interrupt import Interrupt
from .numbers import FiniteRange
from .streams import Command, echo, output

if TYPE_CHECKING:
    from tokenbench.calibrate.search import Envelope
    from tokenbench.calibrate.step import Traffic
    from tokenbench.load.cores import Cores, WorkerCount

_QUICK_S, _QUICK_TOKENS = 1.5, 32


@click.command("calibrate", cls=Command)
@click.option("--concurrency", metavar="N,N,...", help="Measure these concurrencies only.")
@click.option("--seconds", type=FiniteRange(0.2, 600.0), help="Length of a level (default: 5).")
@click.option("--quick", is_flag=True, help="Levels of 1.5 s, answers of 32 tokens.")
@click.option(
    "--attempts",
    type=click.IntRange(1, 100),
    help="Attempts per failed level (default: 2); use more on a busy machine.",
)
@click.option("--cpus", metavar="N,N,...", help="Cores: the server's, then one per load worker.")
@click.option(
    "--server",
    type=click.Path(
        exists=True, dir_okay=False, executable=True, resolve_path=True, path_type=Path
    ),
    help="Executable of another reference server.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    concurrency: str | None,
    seconds: float | None,
    quick: bool,
    attempts: int | None,
    cpus: str | None,
    server: Path | None,
    as_json: bool,
) -> None:
    """Measure the load generator itself, on this machine, against a reference server.

    The result is saved: later runs record it, and `--load-workers auto` uses it.
    """
    from tokenbench.calibrate.machine import busy_share, chosen_cores, max_concurrency
    from tokenbench.calibrate.outcome import plain, save
    from tokenbench.calibrate.search import MAX_CONCURRENCY
    from tokenbench.calibrate.step import Traffic

    if seconds is not None and math.isnan(seconds):
        raise UsageError("--seconds: nan is not in the range 0.2 to 600", hint="give a number")
    most = max_concurrency()
    levels = _numbers("--concurrency", concurrency, 1, most)
    asked = _numbers("--cpus", cpus, 0, 1 << 16)
    cores, count = chosen_cores(asked, max(levels, default=min(most, MAX_CONCURRENCY)))
    traffic = Traffic(seconds=_QUICK_S, tokens=_QUICK_TOKENS) if quick else Traffic()
    if seconds is not None:
        traffic = Traffic(seconds=seconds, tokens=traffic.tokens)
    busy = busy_share((cores.engine[0], *cores.workers))
    with Interrupt() as interrupt:
        envelope = _measure(traffic, cores, count, levels, most, attempts, interrupt, server)
    data = plain(envelope, traffic, cores, busy, server)
    _show(data, as_json)
    if envelope.ended_by == "interrupted":
        raise Interrupted(
            "the calibration was interrupted",
            hint="nothing was saved; an earlier calibration is kept",
        )
    click.echo(f"saved: {save(data)}", err=True)


def _measure(
    traffic: Traffic,
    cores: Cores,
    count: WorkerCount,
    levels: tuple[int, ...],
    most: int,
    attempts: int | None,
    interrupt: Interrupt,
    server: Path | None,
) -> Envelope:
    from tokenbench.calibrate.outcome import plain_step
    from tokenbench.calibrate.search import ATTEMPTS, LEVELS, MAX_CONCURRENCY, Search
    from tokenbench.calibrate.show import line
    from tokenbench.calibrate.step import Calibrator, Step
    from tokenbench.launch.scratch import temporary_folder

    with (
        temporary_folder() as folder,
        Calibrator(traffic, cores, count, folder, interrupt, server) as calibrator,
    ):

        def measure(concurrency: int) -> Step:
            step = calibrator.step(concurrency)
            if not interrupt():
                click.echo(line(plain_step(step)), err=True)
            return step

        search = Search(measure, interrupt, attempts or ATTEMPTS)
        return search.run_list(levels) if levels else search.run(LEVELS, min(most, MAX_CONCURRENCY))


def _show(data: dict[str, Any], as_json: bool) -> None:
    if as_json:
        echo(json.dumps(data, indent=2))
        return
    from rich.console import Console

    from tokenbench.calibrate.show import table

    # A pipe has no width.
    stream = output()
    width = None if stream.isatty() else 140
    console = Console(file=stream, width=width, highlight=False, markup=False, emoji=False)
    table(data, console)


def _numbers(option: str, text: str | None, least: int, most: int) -> tuple[int, ...]:
    """A list of distinct integers; empty without the option."""
    if text is None:
        return ()
    try:
        found = tuple(int(word) for word in text.split(","))
    except ValueError:
        raise UsageError(
            f"{option}: expected integers, got {text!r}", hint=f"for example {option} 1,64"
        ) from None
    if bad := [number for number in found if not least <= number <= most]:
        raise UsageError(
            f"{option}: {bad[0]} is not between {least} and {most}",
            hint="a request in flight needs an open file; `ulimit -Hn` shows the limit"
            if bad[0] > most
            else f"for example {option} 1,64",
        )
    if len(set(found)) < len(found):
        raise UsageError(f"{option}: {text} has a duplicate", hint="give each number once")
    return found
