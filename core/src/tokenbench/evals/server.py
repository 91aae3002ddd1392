"""The server that an eval queries, over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenbench.api import (
    Access,
    Answer,
    Codec,
    EngineError,
    FrozenMap,
    Generation,
    Target,
    Turn,
    UsageError,
)
from tokenbench.guard.call import call
from tokenbench.guard.members import limited
from tokenbench.launch.proxy import find_proxy
from tokenbench.launch.secret import read_secret
from tokenbench.load.codecs import find_codec
from tokenbench.load.generate import Generated, generate

from .health import Health
from .journal import Journal, Reply
from .retries import wait_s

if TYPE_CHECKING:
    from .worker import EvalJob

_POLL_S = 0.2


class HttpEvalServer:
    """Implements :class:`tokenbench.api.EvalClient`.

    A request that fails is sent again, see :mod:`.retries`. `retries` counts this. `missed`: the
    failure of a request given up in this attempt at a batch, or None.
    """

    def __init__(self, job: EvalJob) -> None:
        self._url, self._access = job.base_url, job.access
        self.model = job.model
        self.concurrency = job.concurrency
        self.scratch = job.scratch
        self.api_key = read_secret(job.api_key_env)
        self.retries = 0
        self.missed: str | None = None
        self.journal = Journal(Path(job.samples).with_name("answers.jsonl"))
        self.health = Health(stall_timeout_s=job.stall_timeout_s)
        self._timeout_s = job.request_timeout_s
        self._codec = _codec(job)
        self._target = Target(model=job.model, dialect=job.dialect)
        self._end = threading.Event()

    @property
    def base_url(self) -> str:
        """See :class:`tokenbench.api.EvalClient`.

        Raises:
            UsageError: the eval's own client cannot use the engine's access to the server.
        """
        own = Access(proxy=self._access.proxy)
        if self._access != own or find_proxy(self._url, self._access) is not None:
            raise UsageError(
                "this eval sends its own requests, which lack the engine's headers, certificates, "
                "API root and proxy",
                hint="use an eval that sends its requests through tokenbench",
            )
        return self._url

    def generate(self, requests: Sequence[Generation]) -> Sequence[str]:
        """The texts of :meth:`answers`."""
        return [answer.text for answer in self.answers(requests)]

    def answers(self, requests: Sequence[Generation]) -> Sequence[Answer]:
        """The answers, in the order of the requests.

        Raises:
            EngineError: a request got no answer after several attempts (the other answers are in
                the journal), or the server is down.
        """
        pool = ThreadPoolExecutor(max_workers=self.concurrency)
        asked = [pool.submit(self._reply, request) for request in requests]
        try:
            while wait(asked, timeout=_POLL_S).not_done:
                self.health.check()
            self.health.check()
        finally:
            if self.health.down is not None:
                self._end.set()
            # Do not wait: a thread may be blocked by a server that hangs.
            pool.shutdown(wait=False, cancel_futures=True)
        replies = [future.result() for future in asked]
        found = []
        for answer, error in replies:
            if answer is None:
                self.missed = error
                raise EngineError(
                    f"the server failed on an eval question: {error}", hint="see the server's log"
                )
            found.append(answer)
        return found

    def _reply(self, request: Generation) -> Reply:
        known = self.journal.take(request)
        if known is not None:
            return known
        generated = self._ask(request)
        reply = (_answer(generated) if generated.error is None else None, generated.error)
        self.journal.keep(request, reply)
        return reply

    def _ask(self, request: Generation) -> Generated:
        """Ask until there is an answer, or the question is given up."""
        begun = self.health.now()
        attempt = 1
        while True:
            with self.health.waiting():
                generated = generate(
                    self._url,
                    self._codec,
                    _turn(request),
                    self._target,
                    self.api_key,
                    timeout_s=self._timeout_s,
                    access=self._access,
                    on_data=self.health.heard,
                )
            if generated.error is None:
                self.health.answered()
                return generated
            pause_s = wait_s(generated, attempt)
            if pause_s is None or self._end.wait(pause_s):
                self.health.given_up(generated, begun)
                return generated
            attempt += 1
            self.retries += 1


def _answer(generated: Generated) -> Answer:
    return Answer(
        text=generated.text,
        reasoning=generated.reasoning,
        tool_calls=generated.facts.tool_calls,
        finish=generated.facts.finish,
        tokens=generated.n_out if generated.n_out is not None else generated.tokens or None,
    )


def _turn(request: Generation) -> Turn:
    extra: dict[str, Any] = dict(request.extra_body)
    if request.stop:
        extra["stop"] = request.stop
    return Turn(
        prompt=request.prompt,
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        seed=request.seed,
        extra_body=FrozenMap(extra),
    )


def _codec(job: EvalJob) -> Codec:
    if job.codec_owner is None:
        return find_codec(job.codec, job.codec_module)
    owner, name, module = job.codec_owner, job.codec, job.codec_module
    made = call(owner, "its factory", "factory", lambda: find_codec(name, module), result=Codec)
    return limited(made, Codec, owner)  # type: ignore[type-abstract]
