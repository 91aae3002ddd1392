"""The evals of one deployment, and the accuracy verdict of its points."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from tokenbench.api import Accuracy, EvalFinished, EvalOutcome, Interrupted
from tokenbench.plan.canonical import plain
from tokenbench.plan.plan import PlannedDeployment, PlannedEval
from tokenbench.store.results import rewrite_results

from .context import RunContext
from .evaluate import run_eval
from .running_server import RunningServer


def ask_evals(
    run: RunContext,
    deployment: PlannedDeployment,
    evals: Sequence[PlannedEval],
    server: RunningServer,
) -> None:
    """Run evals one after the other; outcomes go into the run's context.

    Raises:
        Interrupted: the user stopped the run.
        BenchError: an eval failed.
    """
    for planned in evals:
        if run.interrupted():
            raise Interrupted("interrupted by the user", hint="what was measured is kept")
        name = planned.name
        folder = run.directory.evals(deployment.id, name)
        outcome = run_eval(
            planned,
            plugins=run.plugins,
            server=server,
            deployment=deployment.id,
            folder=folder,
            seed=run.plan.resolved.seed,
            load=run.plan.resolved.load.request,
            cpus=run.plan.cores.workers,
            on_asked=lambda done, total, name=name: run.display.asked(name, done, total),  # type: ignore[misc]
            interrupted=run.interrupted,
        )
        where = folder.relative_to(run.directory.path)
        run.directory.write_json(str(where / "outcome.json"), plain(outcome))
        run.evals.append(outcome)
        if outcome.unanswered:
            run.note(
                f"eval {name}: {outcome.n - outcome.unanswered} of {outcome.n} questions answered; "
                "the others count as wrong, and the interval and the verdict allow for any answer "
                f"to them (why: {where / 'unanswered.jsonl'})"
            )
        run.display.outcome(outcome)
        run.observers.tell(EvalFinished(run=run.directory.id, outcome=outcome))


def set_accuracy(run: RunContext, deployment: PlannedDeployment) -> None:
    """Set the accuracy verdict of every point of the deployment, and rewrite the results."""
    evals = tuple(outcome for outcome in run.evals if outcome.deployment == deployment.id)
    if not evals:
        return
    accuracy = worst_accuracy(evals)
    run.results = [
        attrs.evolve(result, accuracy=accuracy, evals=evals)
        if result.deployment == deployment.id
        else result
        for result in run.results
    ]
    rewrite_results(run.directory.results, run.results)


def worst_accuracy(evals: tuple[EvalOutcome, ...]) -> Accuracy:
    """The verdict over several evals: the worst one."""
    found = {outcome.accuracy for outcome in evals}
    for verdict in (Accuracy.FAIL, Accuracy.UNDECIDED, Accuracy.PASS):
        if verdict in found:
            return verdict
    return Accuracy.NOT_RUN
