"""The server as a model of the harness. Requests go through core, with its retries, limits and
records.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from tokenbench.api import ChatPrompt, EvalClient, FrozenMap, Generation, Message, TextPrompt

# As the harness's own chat models: a fixed seed, and what the OpenAI protocol allows.
_SEED, _MOST_STOPS = 1234, 4
_END_OF_REASONING = "</think>"
# Tells messages apart from text: the harness passes both as text.
_MESSAGES = "\0messages:"


def served_model(server: EvalClient, max_tokens: int, *, reasoning: bool = False) -> Any:
    """A harness model that generates with `server`.

    Args:
        max_tokens: output limit of tasks that have none; with `reasoning`, of all.
        reasoning: stop strings are applied to the answer here, not by the server.
    """
    from lm_eval.api.model import LM

    class ServedModel(LM):  # type: ignore[misc]  # lm_eval has no types
        tokenizer_name = ""

        def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
            asked = [request.args[:2] for request in requests]
            made = [generation(text, more, max_tokens) for text, more in asked]
            if reasoning:
                made = [attrs.evolve(one, stop=(), max_tokens=max_tokens) for one in made]
            texts = [answer_of(text) for text in server.generate(made)]
            if not reasoning:
                return texts
            return [cut(text, stops(more)) for text, (_, more) in zip(texts, asked, strict=True)]

        def apply_chat_template(
            self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
        ) -> str:
            return _MESSAGES + json.dumps(chat_history)

        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            raise NotImplementedError("log-probabilities of prompts are not asked for")

        def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
            raise NotImplementedError("log-probabilities of prompts are not asked for")

    return ServedModel()


def generation(context: str, settings: Mapping[str, Any], max_tokens: int) -> Generation:
    """A request of the harness: messages as JSON, or text, and its settings of the generation."""
    left = dict(settings)
    left.pop("do_sample", None)
    limit = left.pop("max_gen_toks", max_tokens)
    left.pop("until", None)
    return Generation(
        prompt=_prompt(context),
        max_tokens=int(left.pop("max_tokens", limit)),
        stop=stops(settings)[:_MOST_STOPS],
        temperature=float(left.pop("temperature", 0.0)),
        seed=_SEED,
        extra_body=FrozenMap(left),
    )


def _prompt(context: str) -> ChatPrompt | TextPrompt:
    if not context.startswith(_MESSAGES):
        return TextPrompt(context)
    messages = json.loads(context.removeprefix(_MESSAGES))
    return ChatPrompt(tuple(Message(one["role"], one["content"]) for one in messages))


def stops(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The stop strings of a task."""
    stop = settings.get("until") or ()
    return (stop,) if isinstance(stop, str) else tuple(stop)


def answer_of(text: str) -> str:
    """The text behind the reasoning, for servers that do not separate the two."""
    return text.rpartition(_END_OF_REASONING)[2]


def cut(text: str, stop: Sequence[str]) -> str:
    """The text up to the first stop string."""
    ends = [place for one in stop if one and (place := text.find(one)) >= 0]
    return text[: min(ends)] if ends else text
