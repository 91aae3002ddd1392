"""Runs one eval against a running server and judges its score."""

from __future__ import annotations

import os
import selectors
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import msgspec

from tokenbench import api
from tokenbench.api import (
    Accuracy,
    AccuracyThreshold,
    BenchError,
    EvalNeeds,
    EvalOutcome,
    EvalScore,
    FrozenMap,
    Interrupted,
    PluginError,
)
from tokenbench.evals.worker import EvalJob
from tokenbench.launch.process import Process, start
from tokenbench.measure.accuracy import judge, wilson
from tokenbench.plan.canonical import plain
from tokenbench.plan.plan import PlannedEval
from tokenbench.plugins.instances import PluginInstances

from .running_server import RunningServer


def run_eval(
    planned: PlannedEval,
    *,
    plugins: PluginInstances,
    server: RunningServer,
    deployment: str,
    folder: Path,
    seed: int,
    cpus: tuple[int, ...],
    on_asked: Callable[[int, int | None], None],
    interrupted: Callable[[], bool],
) -> EvalOutcome:
    """Run the eval in a process of its own and judge its score.

    Raises:
        BenchError: the eval failed.
        Interrupted: the user stopped it; the samples so far are on disk.
    """
    begun = time.monotonic()
    ref = planned.ref
    needs: EvalNeeds = plugins.evaluation(ref).needs()
    with tempfile.TemporaryDirectory(prefix="tokenbench-eval-") as scratch:
        job = EvalJob(
            module=plugins.module("eval", ref.key),
            name=ref.name,
            options=dict(ref.options),
            seed=seed,
            base_url=server.url,
            model=server.target().model,
            codec=needs.codec,
            codec_module=plugins.codec_module(needs.codec),
            dialect={
                **attrs.asdict(server.dialect),
                "extra_body": dict(server.dialect.extra_body),
            },
            concurrency=min(8, server.request.needs.concurrency),
            scratch=scratch,
            samples=str(folder / "samples.jsonl"),
            api_key_env=server.api_key_env,
            access=plain(server.plan.access),
        )
        file = folder / "job.json"
        file.write_bytes(msgspec.json.encode(job, enc_hook=_plain))
        score = _run(file, folder / "log.txt", cpus, scratch, on_asked, interrupted, server)
    return outcome(score, planned, deployment, time.monotonic() - begun)


def outcome(score: EvalScore, planned: PlannedEval, deployment: str, seconds: float) -> EvalOutcome:
    """The score with its interval and the verdict against the threshold."""
    interval = wilson(score.correct, score.n)
    threshold = _applies(planned.threshold, score)
    minimum = threshold.minimum if threshold is not None else None
    return EvalOutcome(
        eval=planned.name,
        deployment=deployment,
        metric=score.metric,
        value=score.value,
        n=score.n,
        variant=score.variant,
        interval=interval,
        accuracy=Accuracy.NOT_RUN if minimum is None else judge(interval, minimum),
        threshold=minimum,
        threshold_source=f"{threshold.source}, {threshold.date}" if threshold else None,
        twin_settings=planned.twin_settings,
        seconds=seconds,
    )


def _applies(threshold: AccuracyThreshold | None, score: EvalScore) -> AccuracyThreshold | None:
    if threshold is None or threshold.variant not in (None, score.variant):
        return None
    return threshold


def _run(
    job: Path,
    log: Path,
    cpus: tuple[int, ...],
    scratch: str,
    on_asked: Callable[[int, int | None], None],
    interrupted: Callable[[], bool],
    server: RunningServer,
) -> EvalScore:
    # Evals use local data; a hub is never contacted.
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": scratch}
    process = start(
        [sys.executable, "-m", "tokenbench.evals.worker", str(job)],
        cpus=cpus,
        env=env,
        stdout="pipe",
        log=log,
        grace_s=3.0,
    )
    total: int | None = None
    try:
        for message in _messages(process, log, interrupted, server):
            if "questions" in message:
                total = message["questions"]
            elif "answered" in message:
                on_asked(message["answered"], total)
            elif "error" in message:
                death = server.found_dead()
                if death is not None:
                    raise _died(death, log)
                kind: Any = getattr(api, message["kind"], PluginError)
                raise kind(message["error"], hint=message["hint"], log=log)
            elif "score" in message:
                return EvalScore(**message["score"])
    finally:
        process.stop()
    raise PluginError(
        f"the eval worker ended without a score: {process.log_tail(2)}",
        hint="see its log",
        log=log,
    )


def _messages(
    process: Process, log: Path, interrupted: Callable[[], bool], server: RunningServer
) -> Any:
    buffer = b""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout_fd, selectors.EVENT_READ)
        while True:
            if interrupted():
                raise Interrupted("interrupted during an eval", hint="its samples so far are kept")
            death = server.death()
            if death is not None:
                raise _died(death, log)
            if not selector.select(0.2):
                continue
            data = os.read(process.stdout_fd, 65536)
            if not data:
                return
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                yield msgspec.json.decode(line)


def _died(death: str, log: Path) -> BenchError:
    return api.EngineError(
        f"the engine died during an eval: {death}", hint="see the server's log", log=log
    )


def _plain(value: Any) -> Any:
    if isinstance(value, FrozenMap):
        return dict(value)
    raise TypeError(type(value).__name__)
