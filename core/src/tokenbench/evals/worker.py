"""The eval worker: ``python -m tokenbench.evals.worker JOB``.

Imports one eval plugin and asks its questions in batches. Each batch's samples are written as JSON
lines before the next batch, so that a stopped eval can resume. Writes to standard output:
``{"questions": n}``, ``{"answered": n}`` after each batch, and ``{"score": ...}`` or
``{"error": ..., "hint": ..., "kind": ...}`` at the end.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import attrs
import msgspec

from tokenbench.api import BenchError, EvalSample, FrozenMap, PluginError, Question
from tokenbench.suite.options import build_options

from .server import HttpEvalServer

BATCH = 8


@attrs.frozen(kw_only=True)
class EvalJob:
    """The worker's job file. `options` are as the user gave them."""

    module: str
    name: str
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
    access: dict[str, Any] | None = None


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
        send({"error": error.message, "hint": error.hint, "kind": type(error).__name__})
        sys.exit(error.exit_code)


def _run(job: EvalJob, send: Any) -> None:
    evaluation = _evaluation(job)
    questions = evaluation.questions(job.seed)
    send({"questions": len(questions)})
    samples_file = Path(job.samples)
    samples = read_samples(samples_file)
    answered = {sample.question for sample in samples}
    left = [question for question in questions if question.id not in answered]
    server = HttpEvalServer(job)
    with samples_file.open("ab") as out:
        for start in range(0, len(left), max(BATCH, job.concurrency)):
            batch = left[start : start + max(BATCH, job.concurrency)]
            answers = _ask(evaluation, batch, server)
            for sample in answers:
                out.write(msgspec.json.encode(sample, enc_hook=dict) + b"\n")
            out.flush()
            samples += answers
            send({"answered": len(samples)})
    score = evaluation.score(samples)
    send({"score": attrs.asdict(score)})


def _ask(evaluation: Any, batch: list[Question], server: Any) -> list[EvalSample]:
    answers = list(evaluation.ask(batch, server))
    if [a.question for a in answers] != [q.id for q in batch]:
        raise PluginError(
            "the eval did not return one sample per question, in order",
            hint="report it to the plugin's author",
        )
    return answers


def _evaluation(job: EvalJob) -> Any:
    for spec in importlib.import_module(job.module).bench_register_evals():
        if spec.name == job.name:
            options = build_options(spec.options, job.options, where=f"eval {job.name}")
            return spec.factory(options)
    raise PluginError(f"{job.module} registers no eval {job.name!r}", hint="reinstall the plugin")


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
