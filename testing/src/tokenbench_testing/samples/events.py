"""One event for each observe hook: of a successful run, and of a failed one."""

from __future__ import annotations

from tokenbench.api import (
    Accuracy,
    Check,
    CheckOutcome,
    DeploymentReady,
    Endpoint,
    Estimate,
    EvalFinished,
    EvalOutcome,
    FrozenMap,
    LoadLevel,
    Measurement,
    PointFinished,
    PointResult,
    PointStarted,
    PointState,
    RunFinished,
    RunStarted,
)

Event = RunStarted | DeploymentReady | PointStarted | PointFinished | EvalFinished | RunFinished
_RUN, _DEPLOYMENT, _POINT = "2026-11-21-1", "0123456789abcdef", "fedcba9876543210"


def events(path: str) -> dict[str, Event]:
    """Event by hook, in the order of a successful run. `path`: the run's folder."""
    return {
        "bench_run_started": RunStarted(run=_RUN, path=path, points=1),
        "bench_deployment_ready": DeploymentReady(
            run=_RUN,
            deployment=_DEPLOYMENT,
            engine="sample",
            engine_version="1.0",
            endpoints=(Endpoint(role="server", index=0, url="http://127.0.0.1:9"),),
            start_s=4.2,
        ),
        "bench_point_started": PointStarted(run=_RUN, deployment=_DEPLOYMENT, point=_POINT),
        "bench_point_finished": PointFinished(run=_RUN, result=_point()),
        "bench_eval_finished": EvalFinished(run=_RUN, outcome=_eval(0.9, Accuracy.PASS)),
        "bench_run_finished": RunFinished(run=_RUN, path=path, state="complete", exit_code=0),
    }


def failures(path: str) -> dict[str, Event]:
    """Event by hook of a run in which everything failed. Optional values are None."""
    return {
        "bench_run_started": RunStarted(run=_RUN, path=path, points=0),
        "bench_deployment_ready": DeploymentReady(
            run=_RUN,
            deployment=_DEPLOYMENT,
            engine="sample",
            engine_version=None,
            endpoints=(),
            start_s=0.0,
        ),
        "bench_point_started": PointStarted(run=_RUN, deployment=_DEPLOYMENT, point=_POINT),
        "bench_point_finished": PointFinished(run=_RUN, result=_failed_point()),
        "bench_eval_finished": EvalFinished(run=_RUN, outcome=_eval(0.0, Accuracy.FAIL)),
        "bench_run_finished": RunFinished(run=_RUN, path=path, state="failed", exit_code=5),
    }


def _eval(value: float, accuracy: Accuracy) -> EvalOutcome:
    return EvalOutcome(
        eval="sample",
        deployment=_DEPLOYMENT,
        metric="accuracy",
        value=value,
        n=40,
        variant="sample-1",
        interval=(max(0.0, value - 0.1), min(1.0, value + 0.1)),
        accuracy=accuracy,
    )


def _point() -> PointResult:
    return PointResult(
        point=_POINT,
        run=_RUN,
        deployment=_DEPLOYMENT,
        engine="sample",
        engine_version="1.0",
        model="sample",
        precision="bf16",
        hardware="sample",
        accelerators=2,
        layout="tp2",
        workload="sample",
        workload_options=FrozenMap({"input_tokens": 128}),
        level=LoadLevel(concurrency=4),
        state=PointState.DONE,
        repeats=3,
        metrics=FrozenMap(
            {
                "ttft_p50_s": Estimate(mean=0.05, half_width=0.01, values=(0.04, 0.05, 0.06)),
                "power_mean_w": Estimate(mean=None, half_width=None, values=(None, None, None)),
            }
        ),
        measurement=Measurement.CERTIFIED,
        checks=(Check(name="sample", outcome=CheckOutcome.OK, evidence="a passed check"),),
    )


def _failed_point() -> PointResult:
    return PointResult(
        point=_POINT,
        run=_RUN,
        deployment=_DEPLOYMENT,
        engine="sample",
        engine_version=None,
        model="sample",
        precision=None,
        hardware="sample",
        accelerators=0,
        layout="1",
        workload="sample",
        workload_options=FrozenMap(),
        level=LoadLevel(rate_per_s=1.5, arrival="poisson"),
        state=PointState.FAILED,
        repeats=0,
        metrics=FrozenMap(),
        measurement=Measurement.INVALID,
        checks=(),
        error="the server died: exit code 7",
    )
