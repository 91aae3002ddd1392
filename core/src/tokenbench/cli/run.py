"""``bench run``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tokenbench.api.errors import BenchError, MeasurementInvalid

from .display import configure_logging, display
from .interrupt import Interrupt
from .request import plan_request, suite_options
from .resume import resumed
from .streams import Command, echo

if TYPE_CHECKING:
    from tokenbench.run.runner import Outcome

RUNS = Path("runs")


@click.command("run", cls=Command)
@suite_options
@click.option(
    "--runs",
    "base",
    type=click.Path(path_type=Path),
    default=RUNS,
    show_default=True,
    help="Folder for run directories.",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIRECTORY",
    help="Continue a run; its finished points and answers are kept.",
)
@click.option("--allow-invalid", is_flag=True, help="Exit with 0 even if a measurement is invalid.")
@click.pass_obj
def command(
    obj: dict[str, Any],
    asked: dict[str, Any],
    base: Path,
    resume: Path | None,
    allow_invalid: bool,
) -> None:
    """Start engines, measure them under load, check accuracy, report.

    SUITE is a YAML file. Without it, the options describe what to run.
    """
    configure_logging()
    with Interrupt() as interrupt:
        outcome, directory = _run(obj, asked, base, resume, interrupt)
    no_report = _report(obj, directory)
    if outcome.error is not None:
        echo(f"to continue it: bench run --resume {directory}")
        raise outcome.error
    _judge(outcome, allow_invalid)
    if no_report is not None:
        raise no_report


def _run(
    obj: dict[str, Any],
    asked: dict[str, Any],
    base: Path,
    resume: Path | None,
    interrupt: Interrupt,
) -> tuple[Outcome, Path]:
    shown = display()
    with (
        shown if isinstance(shown, contextlib.AbstractContextManager) else contextlib.nullcontext()
    ):
        shown.note("planning")
        from tokenbench.launch.limits import allow_many_files
        from tokenbench.run.files_needed import require_files
        from tokenbench.run.provenance import command_line, provenance
        from tokenbench.run.runner import Runner
        from tokenbench.store.layout import RunDirectory

        kept, directory = None, None
        if resume is None:
            plan, plugins = plan_request(asked, obj["without"])
        else:
            directory = RunDirectory.open(resume)
            plan, plugins, kept = resumed(directory, asked, obj["without"])
        allow_many_files()
        require_files(plan)
        facts = provenance(plugins.registry.loaded, plan, argv=command_line())
        directory = directory or RunDirectory.create(base, plan.resolved.suite.name)
        runner = Runner(
            plan, plugins, directory, shown, interrupted=interrupt, facts=facts, kept=kept
        )
        return runner.run(), directory.path


def _report(obj: dict[str, Any], directory: Path) -> BenchError | None:
    """Render a run; returns the error of a broken reporter, which must not hide the results."""
    from .report import render

    failed: BenchError | None = None
    try:
        render(directory, None, obj["without"])
    except BenchError as error:
        click.echo(f"warning: no report: {error.message} ({error.hint})", err=True)
        failed = error
    echo(f"run directory: {directory}")
    return failed


def _judge(outcome: Outcome, allow_invalid: bool) -> None:
    from tokenbench.api import Accuracy, CheckOutcome, Measurement

    failed = [e for e in outcome.evals if e.accuracy is Accuracy.FAIL]
    if failed:
        e = failed[0]
        why = f"{e.eval} was not asked: {e.canary}"
        if e.value is not None:
            why = (
                f"{e.eval} scored {e.value:.3f} on {e.n} questions, at least {e.threshold:g} is "
                "needed"
            )
        if e.twin_settings:
            why += f" (on an eval twin: {'; '.join(e.twin_settings)})"
        raise MeasurementInvalid(
            f"the accuracy gate failed: {why}",
            hint="its answers are wrong: check weights, chat template and engine flags",
        )
    for error in outcome.failures:
        if not (allow_invalid and isinstance(error, MeasurementInvalid)):
            raise error
    invalid = [r for r in outcome.results if r.measurement is Measurement.INVALID]
    if invalid and not allow_invalid:
        reasons = [c for c in invalid[0].checks if c.outcome is CheckOutcome.INVALID]
        why = f": {reasons[0].name}: {reasons[0].evidence}" if reasons else ""
        if len(reasons) > 1:
            why += f"; also {', '.join(check.name for check in reasons[1:])}"
        raise MeasurementInvalid(
            f"{len(invalid)} of {len(outcome.results)} measurements are invalid "
            f"({invalid[0].level.label}{why})",
            hint="the report names the checks; --allow-invalid exits with 0 anyway",
        )
