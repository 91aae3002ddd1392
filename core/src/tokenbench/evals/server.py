"""The server that an eval queries, over HTTP."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from tokenbench.api import Codec, Dialect, EngineError, FrozenMap, Generation, Target, Turn
from tokenbench.guard.call import call
from tokenbench.guard.members import limited
from tokenbench.guard.owner import Owner
from tokenbench.load.codecs import find_codec
from tokenbench.load.generate import generate

if TYPE_CHECKING:
    from .worker import EvalJob

_TIMEOUT_S = 300.0


class HttpEvalServer:
    """Implements :class:`tokenbench.api.EvalServer`."""

    def __init__(self, job: EvalJob) -> None:
        self.base_url = job.base_url
        self.model = job.model
        self.concurrency = job.concurrency
        self.scratch = job.scratch
        self.api_key = os.environ.get(job.api_key_env) if job.api_key_env else None
        self._codec = _codec(job)
        self._target = Target(model=job.model, dialect=_dialect(job.dialect))

    def generate(self, requests: Sequence[Generation]) -> Sequence[str]:
        """The responses, in the order of the requests."""
        with ThreadPoolExecutor(max_workers=self.concurrency) as pool:
            return list(pool.map(self._generate_one, requests))

    def _generate_one(self, request: Generation) -> str:
        extra: dict[str, Any] = {"stop": request.stop} if request.stop else {}
        turn = Turn(
            prompt=request.prompt,
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            seed=request.seed,
            extra_body=FrozenMap(extra),
        )
        reply = generate(
            self.base_url, self._codec, turn, self._target, self.api_key, timeout_s=_TIMEOUT_S
        )
        if reply.error is not None:
            raise EngineError(
                f"the server failed on an eval question: {reply.error}",
                hint="see the server's log in the run directory",
            )
        return reply.text


def _codec(job: EvalJob) -> Codec:
    if job.codec_owner is None:
        return find_codec(job.codec, job.codec_module)
    owner, name, module = Owner(**job.codec_owner), job.codec, job.codec_module
    made = call(owner, "its factory", "factory", lambda: find_codec(name, module), result=Codec)
    return limited(made, Codec, owner)  # type: ignore[type-abstract]


def _dialect(values: dict[str, Any]) -> Dialect:
    return Dialect(
        **{
            **values,
            "codecs": tuple(values["codecs"]),
            "extra_body": FrozenMap(values["extra_body"]),
        }
    )
