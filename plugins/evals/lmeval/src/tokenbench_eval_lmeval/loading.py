"""Finds and loads one task of lm-evaluation-harness.

Observed with lm-eval 0.4.13 (2026-11-21): indexing all its task files takes 17 s, that of one
folder 0.01 s. Overrides for a named task are merged into its configuration only if the task is a
member of a group; a bare ``{"task": name, ...}`` defines a new task.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from tokenbench.api import FrozenMap, OptionalFeatureMissing, UsageError


@attrs.frozen(kw_only=True)
class HarnessTask:
    """A task by name, with changes to its configuration.

    `stock`: the folder of the harness that has the task (None: search all, which is slow).
    `include`: a folder with the user's task files. `metric`: metric and filter to report.
    `overrides`: configuration keys merged into the task's own. `stratum`: the group of a document,
    for subsets. `completions`: prompts are text, without a chat template.

    `reasoning`: the model reasons before it answers. Then `max_tokens` replaces the task's limit,
    and stop strings are not sent, as they would end the reasoning: they cut the answer only.
    Reasoning that the server leaves in the answer, up to ``</think>``, is not graded in any case.
    """

    name: str
    include: str | None = None
    stock: str | None = None
    metric: str | None = None
    max_tokens: int = 512
    context_tokens: int = 4096
    overrides: FrozenMap[Any] = FrozenMap()
    stratum: Callable[[Mapping[str, Any]], str] | None = None
    completions: bool = False
    reasoning: bool = False


def data_file(name: str, given: str | None) -> Path:
    """The file with the questions of the eval `name`: `given`, the option `data`, or that in the
    variable ``TOKENBENCH_NAME``.

    Raises:
        UsageError: neither is given, or there is no such file.
    """
    variable = f"TOKENBENCH_{name.upper()}"
    path = given or os.environ.get(variable)
    if path is None:
        raise UsageError(
            f"eval {name}: no data file",
            hint=f"use {name}:data={name}_test.jsonl, or set {variable}",
        )
    file = Path(path).expanduser()
    if not file.is_file():
        raise UsageError(f"eval {name}: no such file: {file}", hint="check data=")
    return file.resolve()


def load(task: HarnessTask) -> Any:
    """The harness's task object, with data from local files.

    Raises:
        OptionalFeatureMissing: lm-eval is not installed.
        UsageError: the task does not exist, is a group, needs log-probabilities, or its data
            cannot be read.
    """
    manager = _manager(task)
    member = {"task": task.name, **task.overrides}
    asked: Any = {"group": "tokenbench", "task": [member]} if task.overrides else task.name
    try:
        tasks: dict[str, Any] = manager.load(asked)["tasks"]
    except Exception as error:
        raise UsageError(
            f"could not load the task {task.name!r}: {type(error).__name__}: {error}",
            hint="its data must be local, as evals run offline; HF_HUB_OFFLINE=0 in the "
            "environment lets the harness download",
        ) from error
    if set(tasks) != {task.name}:
        raise UsageError(
            f"{task.name!r} is a group of {len(tasks)} tasks",
            hint=f"name one of them: {', '.join(sorted(tasks)[:5])}",
        )
    found = tasks[task.name]
    if found.config.output_type != "generate_until":
        raise UsageError(
            f"the task {task.name!r} needs log-probabilities ({found.config.output_type})",
            hint="choose a task that generates text: chat endpoints have no log-probabilities",
        )
    return found


def harness_version() -> str:
    """The installed version of lm-eval."""
    from importlib.metadata import version

    return version("lm-eval")


def _manager(task: HarnessTask) -> Any:
    """A task manager that has the task, from as few folders as possible."""
    try:
        import lm_eval.tasks
    except ImportError as error:
        raise OptionalFeatureMissing(
            f"lm-evaluation-harness is not installed ({error})",
            hint='pip install "tokenbench-eval-lmeval[harness]"',
        ) from error
    if task.include is not None and not Path(task.include).is_dir():
        raise UsageError(
            f"no such folder: {task.include}", hint="include= needs a folder with task files"
        )
    folders = [task.include] if task.include else []
    if task.stock is not None:
        folders.append(str(Path(lm_eval.tasks.__file__).parent / task.stock))
    if folders:
        manager = lm_eval.tasks.TaskManager(include_path=folders, include_defaults=False)
        if task.name in manager.all_tasks:
            return manager
    manager = lm_eval.tasks.TaskManager(include_path=folders or None)
    if task.name not in manager.all_tasks:
        raise UsageError(
            f"lm-evaluation-harness has no task {task.name!r}",
            hint="`lm-eval ls tasks` lists its tasks; use include=FOLDER for your own",
        )
    return manager
