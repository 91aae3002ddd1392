"""The eval worker: ``python -m tokenbench.evals.worker JOB``.

Imports one eval plugin and asks its questions in batches. Answers are written to disk when they
arrive, and each batch's samples before the next batch, so that a stopped or killed eval can be
resumed. A gate asks in random order, and ends before all are asked once its verdict is certain.
Writes to standard output: ``{"questions": n}``, ``{"answered": n}`` after each batch, and
``{"score": ..., "unanswered": [...], "retries": n, "truncated": n}`` or ``{"error": ..., "hint":
..., "kind": ...}`` at the end.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import traceback
from pathlib import Path
from typing import Any

import attrs
import msgspec

from tokenbench.api import (
    Access,
    BenchError,
    Dialect,
    EngineError,
    Eval,
    EvalSample,
    EvalScore,
    FrozenMap,
    Question,
)
from tokenbench.guard.owner import Owner, wrong
from tokenbench.load.job import decode, error_message
from tokenbench.measure.sequential import Progress, certain_verdict
from tokenbench.plugins.in_worker import make
from tokenbench.store.files import append_line
from tokenbench.store.samples import read_sample_lines

from .server import HttpEvalServer

BATCH = 8


@attrs.frozen(kw_only=True)
class Gate:
    """A threshold, for variants that begin with `variant` (None: any), and the confidence that a
    verdict needs.
    """

    minimum: float
    confidence: float
    variant: str | None = None


@attrs.frozen(kw_only=True)
class EvalJob:
    """The worker's job file. `options` are as given. `samples`: the file of samples; the worker's
    other files are beside it. `gate`: when a gate may end early; None asks all questions.
    `codec_owner`: None for a built-in codec.
    """

    module: str
    options: dict[str, Any]
    seed: int
    base_url: str
    model: str
    codec: str
    codec_module: str | None
    dialect: Dialect
    concurrency: int
    scratch: str
    samples: str
    request_timeout_s: float = 600.0
    stall_timeout_s: float = 120.0
    api_key_env: str | None = None
    owner: Owner
    codec_owner: Owner | None = None
    access: Access = Access()
    gate: Gate | None = None


def main(path: str) -> None:
    """Run the job in the file `path`."""
    # Plugins may print, so their standard output becomes standard error.
    channel = os.dup(1)
    os.dup2(2, 1)

    def send(message: dict[str, Any]) -> None:
        os.write(channel, msgspec.json.encode(message) + b"\n")

    try:
        _run(decode(Path(path).read_bytes(), EvalJob), send)
    except BenchError as error:
        traceback.print_exception(error)
        send(error_message(error))
        sys.stderr.flush()
        # Not sys.exit: threads may wait for a server that hangs, or belong to the plugin.
        os._exit(error.exit_code)


def _run(job: EvalJob, send: Any) -> None:
    owner = job.owner
    evaluation = make(owner, job.module, job.options, Eval)  # type: ignore[type-abstract]
    questions = list(evaluation.questions(job.seed))
    if job.gate is not None:
        # Early answers predict the others only in random order.
        random.Random(f"order {job.seed}").shuffle(questions)
    send({"questions": len(questions)})
    grading = Grading(evaluation, owner)
    asking = Asking(evaluation, owner, HttpEvalServer(job), Path(job.samples), grading)
    asked = {question.id for question in questions}
    samples = [sample for sample in read_samples(asking.file) if sample.question in asked]
    answered = {sample.question for sample in samples}
    left: list[Question] = [question for question in questions if question.id not in answered]
    # With one question in flight, a larger batch would only delay its samples.
    size = 1 if job.concurrency == 1 else max(BATCH, 2 * job.concurrency)
    if samples:
        send({"answered": len(samples)})
    while left and not _certain(job.gate, len(questions), samples, asking, grading):
        samples += asking.ask(left[:size])
        del left[:size]
        send({"answered": len(samples)})
    if questions and not samples:
        raise EngineError(
            f"no eval question was answered: {asking.unanswered[0]['error']}",
            hint="see the server's log",
        )
    score = evaluation.score(samples)
    grading.check(score, samples)
    send(
        {
            "score": {**attrs.asdict(score), "others": dict(score.others)},
            "unanswered": asking.unanswered,
            "retries": asking.server.retries,
            "truncated": _truncated(asking.file.with_name("responses.jsonl")),
        }
    )


def _certain(
    gate: Gate | None,
    total: int,
    samples: list[EvalSample],
    asking: Asking,
    grading: Grading,
) -> bool:
    """Whether the verdict of a gate over all questions is already certain."""
    grades = [sample.score for sample in samples]
    # The inference is valid for right and wrong only, not for partial scores.
    if gate is None or not samples or not set(grades) <= {0.0, 1.0}:
        return False
    if gate.variant is not None and not grading.variant(samples[0]).startswith(gate.variant):
        return False
    progress = Progress(
        total=total,
        asked=len(samples) + len(asking.unanswered),
        right=grades.count(1.0),
        unanswered=len(asking.unanswered),
    )
    return certain_verdict(progress, gate.minimum, gate.confidence) is not None


def _truncated(file: Path) -> int:
    """How many responses ended at the output limit."""
    lines = file.read_bytes().split(b"\n") if file.exists() else ()
    return sum(b'"finish":"length"' in line for line in lines)


class Grading:
    """Grades single answers."""

    def __init__(self, evaluation: Eval, owner: Owner) -> None:
        self._evaluation = evaluation
        self._owner = owner

    def graded(self, sample: EvalSample) -> EvalSample:
        """The sample with a score."""
        if sample.score is None:
            sample = attrs.evolve(sample, score=self._evaluation.score([sample]).correct)
        if not 0 <= float(sample.score or 0.0) <= 1:
            raise wrong(self._owner, "score()", f"gave one answer a score of {sample.score}")
        return attrs.evolve(sample, score=float(sample.score or 0.0))

    def variant(self, sample: EvalSample) -> str:
        """The variant of the eval."""
        return self._evaluation.score([sample]).variant

    def check(self, score: EvalScore, samples: list[EvalSample]) -> None:
        """Check the score of all samples.

        Raises:
            PluginError: the score is impossible, or not the sum of the samples' scores.
        """
        if not (0 <= score.value <= 1 and 0 <= score.correct <= score.n and score.n > 0):
            raise wrong(self._owner, "score()", f"returned an impossible score: {score}")
        alone = sum(sample.score or 0.0 for sample in samples)
        if abs(alone - score.correct) > 1e-6 * len(samples):
            raise wrong(
                self._owner,
                "score()",
                f"gave {score.correct:g} for all answers together, but {alone:g} one by one",
            )


class Asking:
    """Asks the questions of an eval. `unanswered`: those that were given up, and why."""

    def __init__(
        self,
        evaluation: Eval,
        owner: Owner,
        server: HttpEvalServer,
        file: Path,
        grading: Grading,
    ) -> None:
        self.server = server
        self._grading = grading
        self.file = file
        self.unanswered: list[dict[str, str]] = []
        self._evaluation = evaluation
        self._owner = owner

    def ask(self, batch: list[Question]) -> list[EvalSample]:
        """The samples of a batch, already on disk; questions without an answer have none.

        Raises:
            EngineError: the server is down.
            PluginError: the eval is at fault.
        """
        samples = self._try(batch)
        if samples is None and len(batch) > 1:
            # One by one, to find the question without an answer. Nothing is sent again.
            alone = [self._try([question]) for question in batch]
            samples = [sample for found in alone if found is not None for sample in found]
        samples = [self._grading.graded(sample) for sample in samples or ()]
        digests = {question.id: _digest(question) for question in batch}
        for sample in samples:
            line = {
                **attrs.asdict(sample, recurse=False),
                "digest": digests[sample.question],
            }
            append_line(self.file, msgspec.json.encode(line, enc_hook=dict))
        self.server.journal.clear()
        return samples

    def _try(self, batch: list[Question]) -> list[EvalSample] | None:
        """The samples; None if a question of the batch got no answer."""
        self.server.missed = None
        try:
            samples = list(self._evaluation.ask(batch, self.server))
        except Exception as error:
            # The eval, or a library in it, may have wrapped the server's exception.
            if self.server.health.down is not None:
                raise self.server.health.down from error
            if self.server.missed is None:
                raise
            if len(batch) == 1:
                self.unanswered.append({"question": batch[0].id, "error": self.server.missed})
            self.server.journal.rewind()
            return None
        if [sample.question for sample in samples] != [question.id for question in batch]:
            raise wrong(self._owner, "ask()", "did not return one sample per question, in order")
        self.server.journal.commit()
        return samples


def _digest(question: Question) -> str:
    """Distinguishes questions with the same id in two runs. The text itself may be secret."""
    return hashlib.sha256(question.text.encode()).hexdigest()[:16]


def read_samples(file: Path) -> list[EvalSample]:
    """The samples in a file, without an incomplete last line."""
    names = [field.name for field in attrs.fields(EvalSample)]
    lines = ({name: line[name] for name in names} for line in read_sample_lines(file))
    return [EvalSample(**{**line, "details": FrozenMap(line["details"])}) for line in lines]


if __name__ == "__main__":
    main(sys.argv[1])
