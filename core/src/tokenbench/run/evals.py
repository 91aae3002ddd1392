"""The evals of one deployment, and the accuracy verdict of its points."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from tokenbench.api import Accuracy, EvalFinished, EvalOutcome, Interrupted
from tokenbench.plan.canonical import plain
from tokenbench.plan.plan import PlannedDeployment, PlannedEval
from tokenbench.store.results import rewrite_results

from .canaries import send_canaries
from .context import RunContext
from .eval_outcome import unsound
from .evaluate import run_eval
from .running_server import RunningServer

MOST_IN_FLIGHT = 256
"""Most questions of an eval in flight: each takes a thread of its worker."""


def ask_evals(
    run: RunContext,
    deployment: PlannedDeployment,
    evals: Sequence[PlannedEval],
    server: RunningServer,
) -> None:
    """Check the server with canaries, then run evals one after the other. Adds the outcomes to the
    run's context.

    Raises:
        Interrupted: the user stopped the run.
        BenchError: an eval failed.
    """
    fault = _canaries(run, deployment, evals, server)
    for planned in evals:
        if run.interrupted():
            raise Interrupted("interrupted by the user", hint="what was measured is kept")
        _settle(run, planned.name, server)
        if fault is None:
            outcome = _ask(run, deployment, planned, server)
        else:
            outcome = unsound(planned, deployment.id, fault)
        _keep(run, deployment, outcome)
    _settle(run, "the last one", server)


def _canaries(
    run: RunContext,
    deployment: PlannedDeployment,
    evals: Sequence[PlannedEval],
    server: RunningServer,
) -> str | None:
    """The faults that the canaries found; None if there is none or canaries are disabled."""
    if not run.plan.resolved.suite.accuracy.canaries:
        return None
    needs = [run.plugins.evaluation(planned.ref).needs() for planned in evals]
    report = send_canaries(
        server,
        run.plugins.codec,
        codecs=tuple(dict.fromkeys(one.codec for one in needs)),
        logprobs=any(one.logprobs for one in needs),
        timeout_s=run.plan.resolved.load.request.stall_timeout_s,
        concurrency=_concurrency(run, deployment, server),
        interrupted=run.interrupted,
    )
    kind = "twin" if evals[0].twin is not None else "server"
    folder = run.directory.evals(deployment.id, "canaries").relative_to(run.directory.path)
    run.directory.write_json(str(folder / f"{kind}.json"), plain(report))
    for name, text in report.facts.items():
        run.facts[f"deployment.{deployment.id}.{name}"] = text
        run.display.note(f"{name}: {text}")
    run.directory.write_json("provenance.json", run.facts)
    if report.faults:
        run.display.note("faulty server: the evals are not run", found=report.faults[0])
        return "; ".join(report.faults)
    return None


def _settle(run: RunContext, name: str, server: RunningServer) -> None:
    """Wait until the server is idle and empty its prefix cache, before and after an eval."""
    problem = server.settle()
    if problem is not None and not run.interrupted():
        run.note(f"eval {name}: {problem}")


def _concurrency(run: RunContext, deployment: PlannedDeployment, server: RunningServer) -> int:
    """The largest measured concurrency; if there is none, that which the server is sized for."""
    measured = [
        result.level.concurrency
        for result in run.results
        if result.deployment == deployment.id and result.level.concurrency is not None
    ]
    return min(MOST_IN_FLIGHT, max(measured, default=server.request.needs.concurrency))


def _ask(
    run: RunContext, deployment: PlannedDeployment, planned: PlannedEval, server: RunningServer
) -> EvalOutcome:
    resolved = run.plan.resolved
    return run_eval(
        planned,
        plugins=run.plugins,
        server=server,
        deployment=deployment.id,
        folder=run.directory.evals(deployment.id, planned.name),
        seed=resolved.seed,
        load=resolved.load.request,
        confidence=resolved.suite.accuracy.confidence,
        concurrency=_concurrency(run, deployment, server),
        cpus=run.plan.cores.workers,
        on_asked=lambda done, total: run.display.asked(planned.name, done, total),
        interrupted=run.interrupted,
    )


def _keep(run: RunContext, deployment: PlannedDeployment, outcome: EvalOutcome) -> None:
    name = outcome.eval
    where = run.directory.evals(deployment.id, name).relative_to(run.directory.path)
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
