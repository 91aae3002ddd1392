"""Canaries: a few cheap requests before the first question of an eval."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import attrs

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    ChatPrompt,
    Codec,
    EngineError,
    Message,
    TextPrompt,
    Turn,
)
from tokenbench.load.generate import Generated, generate

from .canary_rules import (
    LONG,
    LONG_TOKENS,
    SHORT,
    SHORT_TOKENS,
    Seen,
    faults,
    logprobs_fault,
    model_ids,
    wrong_model,
)
from .interruptible import interruptible
from .running_server import RunningServer

# How often the first prompt is sent again, on an idle server.
_REPEATS = 2
_LOGPROB_TOKENS = 8


@attrs.frozen(kw_only=True)
class CanaryReport:
    """The faults that the canaries found, facts for the provenance (`facts`), and the requests with
    their answers (`seen`).
    """

    faults: tuple[str, ...]
    facts: dict[str, str]
    seen: tuple[dict[str, str | int | None], ...]
    seconds: float


def send_canaries(
    server: RunningServer,
    codec: Callable[[str], Codec],
    *,
    codecs: tuple[str, ...],
    logprobs: bool,
    timeout_s: float,
    concurrency: int,
    interrupted: Callable[[], bool],
) -> CanaryReport:
    """Send the canaries and judge the answers.

    Args:
        codecs: those of the evals; only the chat and completions codecs are checked.
        logprobs: an eval needs log-probabilities.
        timeout_s: limit of each read.

    Raises:
        EngineError: the server died, or answered no canary.
        Interrupted: the user stopped the run.
    """
    begun = time.monotonic()
    found: list[str] = []
    seen: list[Seen] = []
    facts: dict[str, str] = {}
    for name in codecs:
        if name not in (CHAT, COMPLETIONS):
            continue
        send = partial(_send, server, codec(name), timeout_s, chat=name == CHAT)
        short, long = interruptible(partial(_both, send, concurrency), interrupted)
        _check_alive(server, [*short, *long])
        seen += [*short, *long]
        found += faults(short, long, chat=name == CHAT)
        found += interruptible(partial(_model_faults, server, [*short, *long]), interrupted)
        if name == CHAT:
            found += interruptible(
                partial(_logprobs_faults, server, codec(name), needed=logprobs), interrupted
            )
        if not found:
            again = interruptible(partial(_again, send), interrupted)
            facts[f"repeatable_at_temperature_0.{name}"] = _repeatable(short[0], again)
    return CanaryReport(
        faults=tuple(dict.fromkeys(found)),
        facts=facts,
        seen=tuple(_kept(one) for one in seen),
        seconds=round(time.monotonic() - begun, 3),
    )


def _both(send: Callable[[str, int], Seen], concurrency: int) -> tuple[list[Seen], list[Seen]]:
    with ThreadPoolExecutor(max(1, min(len(SHORT) + len(LONG), concurrency))) as pool:
        long = [pool.submit(send, prompt, LONG_TOKENS) for prompt in LONG]
        short = [pool.submit(send, prompt, SHORT_TOKENS) for prompt in SHORT]
        return [one.result() for one in short], [one.result() for one in long]


def _again(send: Callable[[str, int], Seen]) -> list[Seen]:
    return [send(SHORT[0], SHORT_TOKENS) for _ in range(_REPEATS)]


def _send(
    server: RunningServer, codec: Codec, timeout_s: float, prompt: str, limit: int, *, chat: bool
) -> Seen:
    turn = Turn(
        prompt=ChatPrompt((Message("user", prompt),)) if chat else TextPrompt(prompt),
        max_tokens=limit,
    )
    answer = generate(
        server.url,
        codec,
        turn,
        server.target(),
        server.control.api_key,
        timeout_s=timeout_s,
        access=server.plan.access,
    )
    return Seen(prompt=prompt, limit=limit, answer=answer)


def _check_alive(server: RunningServer, seen: Sequence[Seen]) -> None:
    errors = [one.answer.error for one in seen if one.answer.error is not None]
    if not errors:
        return
    death = server.found_dead()
    if death is not None:
        raise death.error("the engine died during the canaries of an eval")
    if len(errors) == len(seen):
        raise EngineError(
            f"the server answered none of {len(seen)} short requests before an eval: {errors[0]}",
            hint="see the server's log",
        )


def _model_faults(server: RunningServer, seen: Sequence[Seen]) -> list[str]:
    answered = next((s.answer.facts.model for s in seen if s.answer.facts.model is not None), None)
    try:
        reply = server.control.get("/v1/models")
    except ConnectionError:
        listed: list[str] = []
    else:
        listed = model_ids(reply.text) if reply.status == 200 else []
    fault = wrong_model(server.target().model, listed, answered)
    return [] if fault is None else [fault]


def _logprobs_faults(server: RunningServer, codec: Codec, *, needed: bool) -> list[str]:
    target = server.target()
    turn = Turn(prompt=ChatPrompt((Message("user", SHORT[0]),)), max_tokens=_LOGPROB_TOKENS)
    body: dict[str, object] = {
        "model": target.model,
        "messages": [{"role": "user", "content": SHORT[0]}],
        "temperature": 0.0,
        target.dialect.max_tokens_field: _LOGPROB_TOKENS,
        "logprobs": True,
        "top_logprobs": 1,
    }
    try:
        reply = server.control.post(codec.encode(turn, target).path, body)
    except ConnectionError:
        return []  # The answer takes longer than a control call may.
    if reply.status != 200:
        return [f"no logprobs: the server refuses them: HTTP {reply.status}"] if needed else []
    fault = logprobs_fault(reply.text, needed=needed)
    return [] if fault is None else [fault]


def _repeatable(first: Seen, again: Sequence[Seen]) -> str:
    texts = [one.text for one in (first, *again) if one.answer.error is None]
    same = texts.count(texts[0]) if texts else 0
    return f"{same} of {len(texts)} answers to one prompt are the same"


def _kept(one: Seen) -> dict[str, str | int | None]:
    answer: Generated = one.answer
    return {
        "prompt": one.prompt,
        "text": answer.text,
        "reasoning": answer.reasoning,
        "error": answer.error,
        "finish": answer.facts.finish,
        "tokens": answer.n_out,
        "prompt_tokens": answer.n_in,
    }
