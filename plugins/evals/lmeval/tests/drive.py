"""Runs the adapter in its own interpreter, like core's eval worker.

``python drive.py JOBS``: a JSON object of jobs by name, each with `task` (arguments of
HarnessTask), `limit`, `seed`, `batches` (sizes of the batches), `reverse` (ask each batch
backwards), `fails` (the server does). The server answers by repeating the question. Prints one JSON
line: by the names of the jobs, questions, samples and score, or the error, and the requests; and as
`contacted` every address that Python looked up or connected to.
"""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

import attrs

SEEN: list[str] = []


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.getaddrinfo":
        SEEN.append(f"{args[0]}:{args[1]}")
    elif event == "socket.connect" and isinstance(args[1], tuple):
        SEEN.append(f"{args[1][0]}:{args[1][1]}")


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Run the job."""
    from tokenbench_eval_lmeval.adapter import HarnessEval, HarnessTask

    from tokenbench.api import BenchError, EngineError, FrozenMap

    arguments = {**job["task"], "overrides": FrozenMap(job["task"].get("overrides") or {})}
    evaluation = HarnessEval(HarnessTask(**arguments), limit=job.get("limit"))
    requests: list[Any] = []

    def generate(asked: list[Any]) -> list[str]:
        if job.get("fails"):
            raise EngineError("the server failed on purpose", hint="see its log")
        requests.extend(asked)
        return [f"{one.prompt.messages[-1].content} It is 1." for one in asked]

    server: Any = SimpleNamespace(model="default", concurrency=4, scratch="", generate=generate)
    out: dict[str, Any] = {}
    try:
        questions = list(evaluation.questions(job.get("seed", 0)))
        out["questions"] = [attrs.asdict(question) for question in questions]
        samples = []
        for size in job.get("batches", ()):
            batch, questions = questions[:size], questions[size:]
            if job.get("reverse"):
                batch.reverse()
            samples += evaluation.ask(batch, server)
        out["samples"] = [{**_plain(s), "details": dict(s.details)} for s in samples]
        out["score"] = attrs.asdict(evaluation.score(samples))
    except BenchError as error:
        out["error"] = {
            "kind": type(error).__name__,
            "message": error.message,
            "hint": error.hint,
        }
    out["requests"] = [attrs.asdict(one) for one in requests]
    for one in out["requests"]:
        one["extra_body"] = dict(one["extra_body"])
    return out


def _plain(sample: Any) -> dict[str, Any]:
    return attrs.asdict(sample, filter=lambda field, _: field.name != "details")


if __name__ == "__main__":
    sys.addaudithook(_audit)
    results = {name: main(job) for name, job in json.loads(sys.argv[1]).items()}
    print(json.dumps({**results, "contacted": sorted(set(SEEN))}, default=dict))
