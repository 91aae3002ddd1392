"""The eval worker: ``python -m tokenbench.evals.worker JOB``.

Imports one eval plugin and asks its questions in batches. Each batch's samples are written as JSON
lines before the next batch, so that a stopped eval can resume. Writes to standard output:
``{"questions": n}``, ``{"answered": n}`` after each batch, and ``{"score": ...}`` or
``{"error": ..., "hint": ..., "kind": ...}`` at the end.
"""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import Any

import attrs
import msgspec

from tokenbench.api import BenchError, Eval, EvalSample, FrozenMap, PluginError, Question
from tokenbench.guard.owner import Owner, wrong
from tokenbench.plugins.in_worker import make

from .server import HttpEvalServer

BATCH = 8


@attrs.frozen(kw_only=True)
class EvalJob:
    """The worker's job file. `options` are as given. `owner` and `codec_owner` (None: a
    built-in codec) have the fields of :class:`tokenbench.guard.owner.Owner`.
    """

    module: str
    options: dict[str, Any]
    seed: int
    base_url: str
    model: str
    codec: str
    codec_module: str | None
    dialect: dict[str, Any]
    concurrency: int
    scratch: str
    samples: str
    api_key_env: str | None = None
    owner: dict[str, str]
    codec_owner: dict[str, str] | None = None


def main(path: str) -> None:
    """Run the job in the file `path`."""
    # Plugins may print, so their standard output becomes standard error.
    channel = os.dup(1)
    os.dup2(2, 1)

    def send(message: dict[str, Any]) -> None:
        os.write(channel, msgspec.json.encode(message) + b"\n")

    try:
        _run(msgspec.json.decode(Path(path).read_bytes(), type=EvalJob), send)
    except BenchError as error:
        traceback.print_exception(error)
        kind = PluginError if isinstance(error, PluginError) else type(error)
        send({"error": error.message, "hint": error.hint, "kind": kind.__name__})
        # Not sys.exit: threads of the plugin may still run.
        os._exit(error.exit_code)


def _run(job: EvalJob, send: Any) -> None:
    owner = Owner(**job.owner)
    evaluation = make(owner, job.module, job.options, Eval)  # type: ignore[type-abstract]
    questions = evaluation.questions(job.seed)
    send({"questions": len(questions)})
    samples_file = Path(job.samples)
    samples = read_samples(samples_file)
    answered = {sample.question for sample in samples}
    left: list[Question] = [question for question in questions if question.id not in answered]
    server = HttpEvalServer(job)
    with samples_file.open("ab") as out:
        for start in range(0, len(left), max(BATCH, job.concurrency)):
            batch = left[start : start + max(BATCH, job.concurrency)]
            answers = _ask(evaluation, batch, server, owner)
            for sample in answers:
                out.write(msgspec.json.encode(sample, enc_hook=dict) + b"\n")
            out.flush()
            samples += answers
            send({"answered": len(samples)})
    score = evaluation.score(samples)
    if not (0 <= score.value <= 1 and 0 <= score.correct <= score.n and score.n > 0):
        raise wrong(owner, "score()", f"returned an impossible score: {score}")
    send({"score": attrs.asdict(score)})


def _ask(
    evaluation: Eval, batch: list[Question], server: HttpEvalServer, owner: Owner
) -> list[EvalSample]:
    answers = list(evaluation.ask(batch, server))
    if [a.question for a in answers] != [q.id for q in batch]:
        raise wrong(owner, "ask()", "did not return one sample per question, in order")
    return answers


def read_samples(file: Path) -> list[EvalSample]:
    """The samples in a file, without an incomplete last line."""
    if not file.exists():
        return []
    samples = []
    for line in file.read_bytes().split(b"\n"):
        try:
            item = msgspec.json.decode(line)
        except msgspec.DecodeError:
            continue
        samples.append(EvalSample(**{**item, "details": FrozenMap(item.get("details") or {})}))
    return samples


if __name__ == "__main__":
    main(sys.argv[1])
