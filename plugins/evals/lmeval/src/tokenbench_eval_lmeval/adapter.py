"""lm-evaluation-harness behind tokenbench's Eval: its prompts, its filters, its metrics.

Seen on lm-eval 0.4.13 (2026-11-21): ``evaluate(samples={task: [indices]}, log_samples=True)`` asks
just those documents and returns each one's answer and metrics.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from tokenbench.api import (
    Eval,
    EvalNeeds,
    EvalSample,
    EvalScore,
    EvalServer,
    FrozenMap,
    OptionalFeatureMissing,
    Question,
    UsageError,
)

_FIRST = 100


@attrs.frozen(kw_only=True)
class HarnessTask:
    """A task by name, with what is changed in its configuration (`overrides`)."""

    name: str
    include: str | None = None
    metric: str | None = None
    max_tokens: int = 512
    context_tokens: int = 4096
    overrides: FrozenMap[Any] = FrozenMap()


class HarnessEval(Eval):
    """One task of the harness. lm_eval is imported when the first question is needed."""

    def __init__(self, task: HarnessTask, *, limit: int | None = None) -> None:
        self._task = task
        self._limit = limit
        self._loaded: Any = None
        self._model: Any = None

    def needs(self) -> EvalNeeds:
        """A chat endpoint and the task's context."""
        return EvalNeeds(context_tokens=self._task.context_tokens)

    def questions(self, seed: int) -> Sequence[Question]:
        """The documents of the task's split, or a sample of them; the id is the index."""
        task = self._harness_task()
        documents = task.eval_docs
        indices = list(range(len(documents)))
        if self._limit is not None and self._limit < len(indices):
            indices = sorted(random.Random(seed).sample(indices, self._limit))
        return [Question(id=str(i), text=str(documents[i])[:_FIRST]) for i in indices]

    def ask(self, batch: Sequence[Question], server: EvalServer) -> Sequence[EvalSample]:
        """Let the harness ask and grade these documents."""
        from lm_eval.evaluator import evaluate

        name = self._task.name
        done = evaluate(
            lm=self._harness_model(server),
            task_dict={name: self._harness_task()},
            samples={name: [int(question.id) for question in batch]},
            log_samples=True,
            apply_chat_template=True,
            bootstrap_iters=0,
        )
        rows: dict[str, list[Any]] = {}
        for row in done["samples"][name]:
            rows.setdefault(str(row["doc_id"]), []).append(row)
        return [self._sample(question, rows[question.id]) for question in batch]

    def score(self, samples: Sequence[EvalSample]) -> EvalScore:
        """The mean of the chosen metric, as the harness graded each answer."""
        scores = [sample.score or 0.0 for sample in samples]
        metric = samples[0].details["metric"] if samples else self._task.metric or "unknown"
        variant = samples[0].details["variant"] if samples else self._task.name
        return EvalScore(
            metric=metric,
            value=sum(scores) / len(scores) if scores else 0.0,
            n=len(scores),
            correct=sum(scores),
            variant=variant,
        )

    # -- inside ----------------------------------------------------------------------------------

    def _harness_task(self) -> Any:
        if self._loaded is None:
            self._loaded = _load(self._task)
        return self._loaded

    def _harness_model(self, server: EvalServer) -> Any:
        if self._model is None:
            from lm_eval.api.registry import get_model

            # It reads the key from OPENAI_API_KEY; the worker's environment has it, or a dummy.
            _set_key(server.api_key)
            self._model = get_model("local-chat-completions").create_from_arg_obj(
                {
                    "model": server.model,
                    "base_url": f"{server.base_url.rstrip('/')}/v1/chat/completions",
                    "num_concurrent": server.concurrency,
                    "max_gen_toks": self._task.max_tokens,
                    "max_retries": 2,
                    "tokenizer_backend": None,
                    "tokenized_requests": False,
                }
            )
        return self._model

    def _sample(self, question: Question, rows: Sequence[Mapping[str, Any]]) -> EvalSample:
        """One answer. A document has a row for each filter; the metric's name says which counts."""
        config = self._harness_task().config
        version = (config.metadata or {}).get("version", "unknown")
        metric, row = _choose(self._task, rows)
        return EvalSample(
            question=question.id,
            answer=str(rows[0]["resps"][0][0]),
            score=float(row[metric.partition(",")[0]]),
            details=FrozenMap(
                {
                    "metric": metric,
                    "variant": f"{self._task.name} v{version}",
                    "filtered": str(row["filtered_resps"][0])[:_FIRST],
                }
            ),
        )


def _choose(task: HarnessTask, rows: Sequence[Mapping[str, Any]]) -> tuple[str, Mapping[str, Any]]:
    """The metric to report, as ``metric,filter``, and its row."""
    found = {f"{metric},{row['filter']}": row for row in rows for metric in row["metrics"]}
    if task.metric is None:
        name = next(iter(found))
        return name, found[name]
    if task.metric not in found:
        raise UsageError(
            f"the task {task.name!r} has no metric {task.metric!r}",
            hint=f"it has: {'; '.join(found)}",
        )
    return task.metric, found[task.metric]


def _load(task: HarnessTask) -> Any:
    """The harness's task object.

    Raises:
        OptionalFeatureMissing: lm-eval is not installed.
        UsageError: there is no such task, or its data cannot be read.
    """
    try:
        from lm_eval.tasks import TaskManager, get_task_dict
    except ImportError as error:
        raise OptionalFeatureMissing(
            f"lm-evaluation-harness is not installed ({error})",
            hint='pip install "tokenbench-eval-lmeval[harness]"',
        ) from error
    manager = TaskManager(include_path=task.include)
    if task.name not in manager.all_tasks:
        raise UsageError(
            f"lm-evaluation-harness has no task {task.name!r}",
            hint="`lm-eval ls tasks` lists them; name your own folder with include=",
        )
    asked = {"task": task.name, **task.overrides} if task.overrides else task.name
    try:
        loaded = get_task_dict([asked], manager)
    except Exception as error:
        raise UsageError(
            f"the task {task.name!r} cannot be loaded: {type(error).__name__}: {error}",
            hint="its data must be local: nothing is fetched from a hub",
        ) from error
    found = loaded[task.name]
    if found.config.output_type != "generate_until":
        raise UsageError(
            f"the task {task.name!r} reads log-probabilities ({found.config.output_type})",
            hint="this adapter asks the chat endpoint; choose a task that generates text",
        )
    return found


def _set_key(key: str | None) -> None:
    import os

    os.environ.setdefault("OPENAI_API_KEY", key or "none")
