"""An eval with prompts, filters and metrics of lm-evaluation-harness.

Observed with lm-eval 0.4.13 (2026-11-21): ``evaluate(samples={task: [indices]}, log_samples=True)``
asks only these documents and returns their answers and metrics, one row per document and filter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    Eval,
    EvalClient,
    EvalNeeds,
    EvalSample,
    EvalScore,
    FrozenMap,
    PluginError,
    Question,
    UsageError,
    stratified_subset,
)

from .calling import answers
from .loading import HarnessTask, data_file, harness_version, load
from .model import served_model

__all__ = ["HarnessEval", "HarnessTask", "data_file"]

_EXCERPT = 100
Row = Mapping[str, Any]


class HarnessEval(Eval):
    """One task of the harness. lm_eval is imported when the questions are loaded."""

    def __init__(self, task: HarnessTask, *, limit: int | None = None) -> None:
        self._task = task
        self._limit = limit
        self._loaded: Any = None
        self._model: Any = None

    def needs(self) -> EvalNeeds:
        """The task's codec and context."""
        codec = COMPLETIONS if self._task.completions else CHAT
        return EvalNeeds(codec=codec, context_tokens=self._task.context_tokens)

    def questions(self, seed: int) -> Sequence[Question]:
        """The documents of the task's split, or a stratified sample. The id is the index."""
        task = self._harness_task()
        stratum = self._task.stratum or (lambda _: "")
        every = [
            Question(
                id=str(i),
                text=str(task.doc_to_text(document))[:_EXCERPT],
                stratum=stratum(document),
            )
            for i, document in enumerate(task.eval_docs)
        ]
        return stratified_subset(every, self._limit, seed)

    def ask(self, batch: Sequence[Question], server: EvalClient) -> Sequence[EvalSample]:
        """Ask and grade these documents with the harness."""
        task = self._harness_task()
        if self._model is None:
            self._model = served_model(
                server, self._task.max_tokens, reasoning=self._task.reasoning
            )
        indices = [int(question.id) for question in batch]
        chat = not self._task.completions
        rows = answers(self._model, task, self._task.name, indices, chat=chat)
        variant = f"{variant_of(self._task.name, task.config)}, lm-eval {harness_version()}"
        return samples_of(rows, batch, self._task, variant)

    def score(self, samples: Sequence[EvalSample]) -> EvalScore:
        """The mean of the reported metric over all answers."""
        scores = [sample.score for sample in samples if sample.score is not None]
        if len(scores) != len(samples):
            raise PluginError(
                f"{len(samples) - len(scores)} answers of {self._task.name!r} have no grade",
                hint="another plugin version wrote these samples; run the eval again",
            )
        metric = samples[0].details["metric"] if samples else self._task.metric or "unknown"
        variant = samples[0].details["variant"] if samples else self._task.name
        return EvalScore(
            metric=metric,
            value=sum(scores) / len(scores) if scores else 0.0,
            n=len(scores),
            correct=sum(scores),
            variant=variant,
            others=_others(samples),
        )

    def _harness_task(self) -> Any:
        if self._loaded is None:
            self._loaded = load(self._task)
        return self._loaded


def variant_of(name: str, config: Any) -> str:
    """What affects the scores of a task: its name, version and number of examples."""
    version = (config.metadata or {}).get("version", "unknown")
    return f"{name} v{version}, {config.num_fewshot or 0}-shot"


def samples_of(
    rows: Sequence[Row], batch: Sequence[Question], task: HarnessTask, variant: str
) -> list[EvalSample]:
    """One sample per question, in order, from the harness's rows (one per document and filter).

    Raises:
        PluginError: the harness skipped a question.
        UsageError: the task does not have the requested metric.
    """
    by_question: dict[str, list[Row]] = {}
    for row in rows:
        by_question.setdefault(str(row["doc_id"]), []).append(row)
    missing = [question.id for question in batch if question.id not in by_question]
    if missing:
        raise PluginError(
            f"lm-evaluation-harness skipped {len(missing)} questions of {task.name!r}",
            hint="report it with the version of lm-eval",
        )
    return [_sample(question, by_question[question.id], task, variant) for question in batch]


def _others(samples: Sequence[EvalSample]) -> FrozenMap[float]:
    """The means of the other metrics and filters."""
    kept = [json.loads(sample.details.get("others", "{}")) for sample in samples]
    names = dict.fromkeys(name for one in kept for name in one)
    return FrozenMap({name: sum(one.get(name, 0.0) for one in kept) / len(kept) for name in names})


def _sample(question: Question, rows: Sequence[Row], task: HarnessTask, variant: str) -> EvalSample:
    metric, row = _choose(task, rows)
    return EvalSample(
        question=question.id,
        answer=str(row["resps"][0][0]),
        score=float(row[metric.partition(",")[0]]),
        details=FrozenMap(
            {
                "metric": metric,
                "variant": variant,
                "filtered": str(row["filtered_resps"][0])[:_EXCERPT],
                "others": json.dumps(_other_metrics(rows, metric)),
            }
        ),
    )


def _other_metrics(rows: Sequence[Row], reported: str) -> dict[str, float]:
    """Single numbers of the other metrics, by ``metric,filter``."""
    found = {f"{metric},{row['filter']}": row[metric] for row in rows for metric in row["metrics"]}
    return {
        name: float(value)
        for name, value in found.items()
        if name != reported and isinstance(value, int | float)
    }


def _choose(task: HarnessTask, rows: Sequence[Row]) -> tuple[str, Row]:
    """The metric to report, as ``metric,filter``, and its row."""
    found = {f"{metric},{row['filter']}": row for row in rows for metric in row["metrics"]}
    if task.metric is None:
        name = next(iter(found))
        return name, found[name]
    if task.metric not in found:
        raise UsageError(
            f"the task {task.name!r} has no metric {task.metric!r}",
            hint=f"metrics: {'; '.join(found)}",
        )
    return task.metric, found[task.metric]
