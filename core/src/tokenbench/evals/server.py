"""The server that an eval queries, over HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from tokenbench.api import (
    Access,
    Dialect,
    EngineError,
    FrozenMap,
    Generation,
    Target,
    Turn,
    UsageError,
)
from tokenbench.launch.proxy import find_proxy
from tokenbench.launch.secret import read_secret
from tokenbench.load.codecs import find_codec
from tokenbench.load.generate import generate

if TYPE_CHECKING:
    from .worker import EvalJob

_TIMEOUT_S = 300.0


class HttpEvalServer:
    """Implements :class:`tokenbench.api.EvalServer`."""

    def __init__(self, job: EvalJob) -> None:
        self._url, self._access = job.base_url, _access(job.access or {})
        self.model = job.model
        self.concurrency = job.concurrency
        self.scratch = job.scratch
        self.api_key = read_secret(job.api_key_env)
        self._codec = find_codec(job.codec, job.codec_module)
        self._target = Target(model=job.model, dialect=_dialect(job.dialect))

    @property
    def base_url(self) -> str:
        """See :class:`tokenbench.api.EvalServer`.

        Raises:
            UsageError: a client of the eval's own would not reach the server as the engine says.
        """
        own = Access(proxy=self._access.proxy)
        if self._access != own or find_proxy(self._url, self._access) is not None:
            raise UsageError(
                "this eval sends requests of its own, without the engine's headers, certificates, "
                "API root and proxy",
                hint="use an eval that asks through tokenbench",
            )
        return self._url

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
            self._url,
            self._codec,
            turn,
            self._target,
            self.api_key,
            timeout_s=_TIMEOUT_S,
            access=self._access,
        )
        if reply.error is not None:
            raise EngineError(
                f"the server failed on an eval question: {reply.error}",
                hint="see the server's log in the run directory",
            )
        return reply.text


def _access(values: dict[str, Any]) -> Access:
    maps = {key: FrozenMap(value) for key, value in values.items() if isinstance(value, dict)}
    found: dict[str, Any] = {**values, **maps}
    return Access(**found)


def _dialect(values: dict[str, Any]) -> Dialect:
    return Dialect(
        **{
            **values,
            "codecs": tuple(values["codecs"]),
            "extra_body": FrozenMap(values["extra_body"]),
        }
    )
