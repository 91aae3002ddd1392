"""Runs one eval against a running server and judges its score."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import msgspec

from tokenbench.api import (
    EvalNeeds,
    EvalOutcome,
    EvalScore,
    FrozenMap,
    Interrupted,
    PluginError,
)
from tokenbench.evals.worker import EvalJob, Gate
from tokenbench.guard.members import owner_of
from tokenbench.launch.process import Messages, start
from tokenbench.launch.python import module_command
from tokenbench.launch.scratch import new_scratch, remove
from tokenbench.load.job import encode, error_of
from tokenbench.plan.plan import PlannedEval
from tokenbench.plugins.instances import PluginInstances
from tokenbench.store.files import write_atomic
from tokenbench.suite.schema import LoadRequest

from .eval_outcome import Asked, outcome
from .running_server import RunningServer

_DURING = "the engine died during an eval"


def run_eval(
    planned: PlannedEval,
    *,
    plugins: PluginInstances,
    server: RunningServer,
    deployment: str,
    folder: Path,
    seed: int,
    load: LoadRequest,
    confidence: float,
    concurrency: int,
    cpus: tuple[int, ...],
    on_asked: Callable[[int, int | None], None],
    interrupted: Callable[[], bool],
) -> EvalOutcome:
    """Run the eval in a process of its own and judge its score.

    Questions that have a sample in `folder` are not asked again.

    Args:
        confidence: how certain the verdict of a gate must be to end it.
        concurrency: questions in flight.

    Raises:
        BenchError: the eval failed. The samples so far are on disk.
        Interrupted: the user stopped it. The samples so far are on disk.
    """
    begun = time.monotonic()
    scratch = new_scratch()
    try:
        job = attrs.evolve(
            _job(planned, plugins, server, folder, seed, load, scratch),
            gate=_gate(planned, confidence),
            concurrency=concurrency,
        )
        file = folder / "job.json"
        file.write_bytes(encode(job))
        report = _run(file, folder / "log.txt", cpus, scratch, on_asked, interrupted, server)
    finally:
        remove(scratch)
    missed = report["unanswered"]
    lines = b"".join(msgspec.json.encode(one) + b"\n" for one in missed)
    write_atomic(folder / "unanswered.jsonl", lines)
    score = {**report["score"], "others": FrozenMap(report["score"]["others"])}
    return attrs.evolve(
        outcome(
            EvalScore(**score),
            planned,
            deployment,
            Asked(
                questions=report["questions"],
                unanswered=len(missed),
                confidence=confidence if planned.gate else None,
            ),
        ),
        seconds=time.monotonic() - begun,
        retries=report["retries"],
        truncated=report["truncated"],
        concurrency=concurrency,
    )


def _gate(planned: PlannedEval, confidence: float) -> Gate | None:
    if not planned.gate or planned.threshold is None:
        return None
    return Gate(
        minimum=planned.threshold.minimum,
        confidence=confidence,
        variant=planned.threshold.variant,
    )


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
        module=plugins.registry.candidate("eval", ref.key).module,
        options=dict(ref.options),
        seed=seed,
        base_url=server.url,
        model=server.target().model,
        codec=needs.codec,
        codec_module=plugins.codec_module(needs.codec),
        dialect=server.dialect,
        concurrency=1,
        scratch=str(scratch),
        samples=str(folder / "samples.jsonl"),
        request_timeout_s=load.request_timeout_s,
        stall_timeout_s=load.stall_timeout_s,
        api_key_env=server.api_key_env,
        owner=plugins.owner("eval", ref.key),
        codec_owner=owner_of(plugins.codec(needs.codec)),
        access=server.plan.access,
    )


def _run(
    job: Path,
    log: Path,
    cpus: tuple[int, ...],
    scratch: Path,
    on_asked: Callable[[int, int | None], None],
    interrupted: Callable[[], bool],
    server: RunningServer,
) -> dict[str, Any]:
    process = start(
        module_command("tokenbench.evals.worker", str(job)),
        cpus=cpus,
        env={**os.environ, **_hub(scratch)},
        stdout="pipe",
        log=log,
        scratch=scratch,
        grace_s=3.0,
    )
    messages = Messages("eval worker", process)
    total: int | None = None
    try:
        for message in _until_the_end(messages, interrupted, server):
            if "questions" in message:
                total = message["questions"]
            elif "answered" in message:
                on_asked(message["answered"], total)
            elif "error" in message:
                death = server.found_dead()
                if death is not None:
                    raise death.error(_DURING)
                raise error_of(message, log)
            elif "score" in message:
                return {**message, "questions": total}
    finally:
        process.stop()
    raise messages.killed() or PluginError(
        f"the eval worker ended without a score: {process.log_tail(2)}",
        hint="see its log",
        log=log,
    )


def _hub(scratch: Path) -> dict[str, str]:
    """Variables for harnesses: no hub is contacted, unless the user's HF_HUB_OFFLINE is 0."""
    if os.environ.get("HF_HUB_OFFLINE") == "0":
        return {}
    return {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(scratch)}


def _until_the_end(
    messages: Messages, interrupted: Callable[[], bool], server: RunningServer
) -> Iterator[dict[str, Any]]:
    while True:
        if interrupted():
            raise Interrupted("interrupted during an eval", hint="its samples so far are kept")
        death = server.death()
        if death is not None:
            raise death.error(_DURING)
        found = messages.read(0.2)
        if found is None:
            return
        yield from found
