"""Runs one eval against a running server and judges its score."""

from __future__ import annotations

import os
import selectors
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
    EvalNeeds,
    EvalOutcome,
    EvalScore,
    FrozenMap,
    Interrupted,
    MachineError,
    PluginError,
)
from tokenbench.evals.worker import EvalJob
from tokenbench.guard.members import owner_of
from tokenbench.launch.process import HALT_LIMIT_S, HaltWatch, Process, start
from tokenbench.launch.python import module_command
from tokenbench.launch.scratch import new_scratch, remove
from tokenbench.measure.accuracy import judge, wilson
from tokenbench.plan.canonical import plain
from tokenbench.plan.plan import PlannedEval
from tokenbench.plugins.instances import PluginInstances
from tokenbench.store.files import write_atomic
from tokenbench.suite.schema import LoadRequest

from .running_server import RunningServer

_DURING = "the engine died during an eval"
_SIGNAL = 128  # Exit code of a process that a signal killed, less the signal's number.


def run_eval(
    planned: PlannedEval,
    *,
    plugins: PluginInstances,
    server: RunningServer,
    deployment: str,
    folder: Path,
    seed: int,
    load: LoadRequest,
    cpus: tuple[int, ...],
    on_asked: Callable[[int, int | None], None],
    interrupted: Callable[[], bool],
) -> EvalOutcome:
    """Run the eval in a process of its own and judge its score.

    Questions that `folder` has samples of are not asked again.

    Raises:
        BenchError: the eval failed. The samples so far are on disk.
        Interrupted: the user stopped it. So they are then.
    """
    begun = time.monotonic()
    scratch = new_scratch()
    try:
        job = _job(planned, plugins, server, folder, seed, load, scratch)
        file = folder / "job.json"
        file.write_bytes(msgspec.json.encode(job, enc_hook=_plain))
        said = _run(file, folder / "log.txt", cpus, scratch, on_asked, interrupted, server)
    finally:
        remove(scratch)
    missed = said["unanswered"]
    lines = b"".join(msgspec.json.encode(one) + b"\n" for one in missed)
    write_atomic(folder / "unanswered.jsonl", lines)
    found = outcome(
        EvalScore(**said["score"]),
        planned,
        deployment,
        time.monotonic() - begun,
        unanswered=len(missed),
    )
    return attrs.evolve(found, retries=said["retries"])


def _job(
    planned: PlannedEval,
    plugins: PluginInstances,
    server: RunningServer,
    folder: Path,
    seed: int,
    load: LoadRequest,
    scratch: Path,
) -> EvalJob:
    ref = planned.ref
    needs: EvalNeeds = plugins.evaluation(ref).needs()
    return EvalJob(
        module=plugins.module("eval", ref.key),
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
        scratch=str(scratch),
        samples=str(folder / "samples.jsonl"),
        request_timeout_s=load.request_timeout_s,
        stall_timeout_s=load.stall_timeout_s,
        api_key_env=server.api_key_env,
        owner=attrs.asdict(plugins.owner("eval", ref.key)),
        codec_owner=_codec_owner(plugins, needs.codec),
        access=plain(server.plan.access),
    )


def _codec_owner(plugins: PluginInstances, codec: str) -> dict[str, str] | None:
    owner = owner_of(plugins.codec(codec))
    return None if owner is None else attrs.asdict(owner)


def outcome(
    score: EvalScore, planned: PlannedEval, deployment: str, seconds: float, *, unanswered: int = 0
) -> EvalOutcome:
    """The score with its interval and the verdict against the threshold.

    Unanswered questions count: as wrong in the value, as wrong at the lower and as right at the
    upper end of the interval. So a verdict holds however they would have been answered.
    """
    n = score.n + unanswered
    interval = (wilson(score.correct, n)[0], wilson(score.correct + unanswered, n)[1])
    threshold = _applies(planned.threshold, score)
    minimum = threshold.minimum if threshold is not None else None
    return EvalOutcome(
        eval=planned.name,
        deployment=deployment,
        metric=score.metric,
        value=score.value if not unanswered else score.correct / n,
        n=n,
        unanswered=unanswered,
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
    scratch: Path,
    on_asked: Callable[[int, int | None], None],
    interrupted: Callable[[], bool],
    server: RunningServer,
) -> dict[str, Any]:
    # Evals use local data; a hub is never contacted.
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(scratch)}
    process = start(
        module_command("tokenbench.evals.worker", str(job)),
        cpus=cpus,
        env={**os.environ, **offline},
        stdout="pipe",
        log=log,
        scratch=scratch,
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
                    raise death.error(_DURING)
                kind: Any = getattr(api, message["kind"], PluginError)
                raise kind(message["error"], hint=message["hint"], log=log)
            elif "score" in message:
                return dict(message)
    finally:
        process.stop()
    code = process.exit_code or 0
    if code > _SIGNAL:
        raise MachineError(
            f"the eval worker was killed by signal {code - _SIGNAL}",
            hint="run it again; the answers so far are kept",
            log=log,
        )
    raise PluginError(
        f"the eval worker ended without a score: {process.log_tail(2)}",
        hint="see its log",
        log=log,
    )


def _messages(
    process: Process, log: Path, interrupted: Callable[[], bool], server: RunningServer
) -> Any:
    buffer, halted = b"", HaltWatch()
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout_fd, selectors.EVENT_READ)
        while True:
            if interrupted():
                raise Interrupted("interrupted during an eval", hint="its samples so far are kept")
            death = server.death()
            if death is not None:
                raise death.error(_DURING)
            if not selector.select(0.2):
                if halted.too_long(process):
                    raise MachineError(
                        "the eval worker was halted by a signal and did not go on within "
                        f"{HALT_LIMIT_S:g} s",
                        hint="run it again; the answers so far are kept",
                        log=log,
                    )
                continue
            data = os.read(process.stdout_fd, 65536)
            if not data:
                return
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                yield msgspec.json.decode(line)


def _plain(value: Any) -> Any:
    if isinstance(value, FrozenMap):
        return dict(value)
    raise TypeError(type(value).__name__)
