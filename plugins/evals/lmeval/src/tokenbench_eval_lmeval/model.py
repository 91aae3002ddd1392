"""The server as a model of the harness: core asks, so that its retries, limits and records hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tokenbench.api import ChatPrompt, EvalServer, FrozenMap, Generation, Message

# As the harness's own chat models: a fixed seed, and what the OpenAI protocol allows.
_SEED, _MOST_STOPS = 1234, 4


def chat_model(server: EvalServer, max_tokens: int) -> Any:
    """A harness model that generates with `server`.

    Args:
        max_tokens: output limit of tasks that have none.
    """
    from lm_eval.api.model import LM

    class ChatModel(LM):  # type: ignore[misc]  # lm_eval has no types
        tokenizer_name = ""

        def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
            asked = (request.args[:2] for request in requests)
            return list(
                server.generate([generation(text, more, max_tokens) for text, more in asked])
            )

        def apply_chat_template(
            self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
        ) -> str:
            return json.dumps(chat_history)

        def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
            raise NotImplementedError("chat endpoints have no log-probabilities")

        def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
            raise NotImplementedError("chat endpoints have no log-probabilities")

    return ChatModel()


def generation(context: str, settings: Mapping[str, Any], max_tokens: int) -> Generation:
    """A request of the harness: the messages as JSON, and its settings of the generation."""
    left = dict(settings)
    left.pop("do_sample", None)
    limit = left.pop("max_gen_toks", max_tokens)
    stop = left.pop("until", None) or ()
    return Generation(
        prompt=ChatPrompt(
            tuple(Message(one["role"], one["content"]) for one in json.loads(context))
        ),
        max_tokens=int(left.pop("max_tokens", limit)),
        stop=((stop,) if isinstance(stop, str) else tuple(stop))[:_MOST_STOPS],
        temperature=float(left.pop("temperature", 0.0)),
        seed=_SEED,
        extra_body=FrozenMap(left),
    )
