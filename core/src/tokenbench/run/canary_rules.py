"""Finds faults of a server in its answers to a few short requests.

A small model may give wrong or odd answers. So the rules look only for faults that no working model
has in most of its answers.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from tokenbench.load.generate import Generated

SHORT = (
    "What is the capital of France? Answer in one short sentence.",
    "What is two plus three? Answer with the number only.",
    "Say hello.",
)
"""Each has a short answer, which ends long before `SHORT_TOKENS`."""
LONG = (
    "Explain step by step how bread is made, from the field to the oven.",
    (
        "Write a story of at least ten sentences about a lighthouse keeper, her three children, a "
        "lost ship, a storm that lasts for two weeks, and the letter that arrives in a bottle on "
        "the morning after the storm, many years too late."
    ),
    "List twenty countries, and describe each of them in one sentence.",
)
"""Each has an answer of more than `LONG_TOKENS`. The second is longer than all others."""
SHORT_TOKENS, LONG_TOKENS = 96, 48
# Words that the second long prompt has more than the first.
_LONGER_BY = len(LONG[1].split()) - len(LONG[0].split())
# Control tokens of the chat templates of Llama 2 to 4, Mistral, Gemma, Phi, Qwen, DeepSeek, GLM,
# gpt-oss and ChatML, from their model cards (read 2026-11-30). A server that applies its own
# template never shows them.
_CONTROL = re.compile(
    r"<\|[a-z_]{2,24}\|>|<\uff5c[^\uff5c<>]{2,24}\uff5c>|\[/?INST\]|<</?SYS>>|</?s>"
    r"|<(?:start|end)_of_turn>"
    r"|^\s*(?:###\s*)?(?:Human|User|Assistant|Instruction)\s*:",
    re.MULTILINE,
)
_END_WORDS = re.compile(r"<\|(?:im_end|eot_id|endoftext|end|return|eos)\|>|</s>|<end_of_turn>")
_LONGEST_CYCLE, _LEAST_REPEATED = 24, 30
_SMALL = 2


@attrs.frozen(kw_only=True)
class Seen:
    """One request and its answer. `limit`: the output limit it was sent with."""

    prompt: str
    limit: int
    answer: Generated

    @property
    def text(self) -> str:
        """All that was generated as text."""
        return self.answer.reasoning + self.answer.text

    @property
    def tokens(self) -> int | None:
        """Generated tokens; None if the server does not report them."""
        return self.answer.n_out


def faults(short: Sequence[Seen], long: Sequence[Seen], *, chat: bool) -> list[str]:
    """The faults of a server, each with name and evidence.

    Args:
        chat: the requests were messages, to which the server applied a chat template.
    """
    short = [one for one in short if one.answer.error is None]
    long = [one for one in long if one.answer.error is None]
    every = [*short, *long]
    if not every:
        return []
    # No other rule can judge such text.
    for useless in (_empty(every), _repeated(every)):
        if useless is not None:
            return [useless]
    rules: list[Callable[[], str | None]] = [
        lambda: _truncated(long),
    ]
    if chat:
        rules += [
            lambda: _end_ignored(short),
            lambda: _template(every),
            lambda: _message_ignored(long),
            lambda: _echo(every),
        ]
    return [found for rule in rules if (found := rule()) is not None]


def _most(count: int, of: Sequence[object]) -> bool:
    return len(of) > 0 and 2 * count >= len(of) and count >= min(_SMALL, len(of))


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")


def _empty(seen: Sequence[Seen]) -> str | None:
    nothing = [one for one in seen if not one.text.strip() and not one.answer.tool_calls]
    if not _most(len(nothing), seen):
        return None
    return f"empty text: {len(nothing)} of {len(seen)} answers have none"


def repeats(text: str) -> bool:
    """Whether a text is one short piece repeated."""
    text = text.strip()
    if len(text) < _LEAST_REPEATED:
        return False
    for cycle in range(1, _LONGEST_CYCLE + 1):
        same = sum(a == b for a, b in zip(text, text[cycle:], strict=False))
        if same >= 0.9 * (len(text) - cycle):
            return True
    return False


def _repeated(seen: Sequence[Seen]) -> str | None:
    found = [one for one in seen if repeats(one.text)]
    if not _most(len(found), seen):
        return None
    return (
        f"repeated text: {len(found)} of {len(seen)} answers repeat one piece, such as "
        f"{_shown(found[0].text.strip())}"
    )


def _truncated(long: Sequence[Seen]) -> str | None:
    """Answers end before their limit: at another limit of the server, or all at the same length."""
    cut = [
        one
        for one in long
        if one.answer.facts.finish == "length" and one.tokens is not None and one.tokens < one.limit
    ]
    if _most(len(cut), long):
        return (
            f"truncated text: answers were cut after {cut[0].tokens} tokens, "
            f"{cut[0].limit} were allowed"
        )
    lengths = {one.tokens for one in long}
    length = next(iter(lengths), None)
    if len(long) > _SMALL and len(lengths) == 1 and length is not None and length < LONG_TOKENS:
        return (
            f"truncated text: {len(long)} answers to different questions all end after {length} "
            "tokens"
        )
    return None


def _end_ignored(short: Sequence[Seen]) -> str | None:
    # Reasoning may be long, so an answer that was cut in it is no evidence.
    judged = [
        one
        for one in short
        if not one.answer.reasoning and not one.text.lstrip().startswith("<think")
    ]
    endless = [one for one in judged if one.answer.facts.finish == "length"]
    if len(judged) > 1 and len(endless) == len(judged):
        return (
            f"end of text ignored: {len(endless)} answers to short questions ran to their "
            f"limit of {SHORT_TOKENS} tokens, such as {_shown(endless[0].text.strip())}"
        )
    marked = [one for one in short if _END_WORDS.search(one.text.rstrip()[:-1])]
    if _most(len(marked), short):
        return (
            "end of text ignored: answers continue after an end-of-text token, such as "
            f"{_shown(marked[0].text.strip())}"
        )
    return None


def _template(seen: Sequence[Seen]) -> str | None:
    texts = ((one, _END_WORDS.sub("", one.text)) for one in seen)
    found = [(one, match) for one, text in texts if (match := _CONTROL.search(text))]
    if len(found) < min(_SMALL, len(seen)):
        return None
    return (
        f"wrong chat template: {len(found)} of {len(seen)} answers contain tokens of a template, "
        f"such as {found[0][1].group().strip()!r}"
    )


def _message_ignored(long: Sequence[Seen]) -> str | None:
    """The number of prompt tokens does not grow with the message."""
    counts = {one.prompt: one.answer.n_in for one in long}
    few, many = (counts.get(prompt) for prompt in LONG[:2])
    if few is None or many is None or many - few >= _LONGER_BY // 2:
        return None
    return (
        f"wrong chat template: {_LONGER_BY} more words in a message add {many - few} tokens to "
        "the prompt; the message does not reach the model"
    )


def _echo(seen: Sequence[Seen]) -> str | None:
    found = [one for one in seen if one.prompt in one.text]
    if not _most(len(found), seen):
        return None
    return f"wrong chat template: {len(found)} of {len(seen)} answers repeat the question"


def wrong_model(asked: str, listed: Sequence[str], answered: str | None) -> str | None:
    """The fault if the answering model has another name, apart from a version or a folder."""
    if answered is None or _same(asked, answered):
        return None
    if asked in listed and any(_same(one, answered) for one in listed):
        return None  # The server lists both names.
    return f"another model: requested {asked!r}, answered by {answered!r}"


def _same(a: str, b: str) -> bool:
    one, other = (name.rstrip("/").rpartition("/")[2].lower() for name in (a, b))
    return one.startswith(other) or other.startswith(one)


def model_ids(text: str) -> list[str]:
    """The names in a list of models."""
    try:
        data = json.loads(text).get("data")
    except (ValueError, AttributeError):
        return []
    found = data if isinstance(data, list) else []
    return [str(one["id"]) for one in found if isinstance(one, dict) and "id" in one]


def logprobs_fault(text: str, *, needed: bool) -> str | None:
    """The fault in the log-probabilities of a chat response to a request for them.

    Args:
        needed: an eval reads them, so their absence is a fault too.
    """
    found = _logprobs(text)
    if not found:
        return "no logprobs: they were asked for, and the answer has none" if needed else None
    values = [one.get("logprob") for one in found]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    impossible = [v for v in numbers if math.isnan(v) or v > 1e-6]
    if len(numbers) < len(values) or impossible:
        shown = impossible[0] if impossible else next(v for v in values if v not in numbers)
        return f"wrong logprobs: {shown!r} is not a log-probability"
    if needed and len(numbers) > 1 and len(set(numbers)) == 1:
        return f"wrong logprobs: all {len(numbers)} tokens have {numbers[0]:g}"
    for one in found:
        top = one.get("top_logprobs")
        if isinstance(top, list) and top and isinstance(top[0], dict):
            best = top[0].get("logprob")
            if isinstance(best, int | float) and best < one["logprob"] - 1e-3:
                return (
                    f"wrong logprobs: {one['logprob']:g} for a token, {best:g} for the most likely"
                )
    return None


def _logprobs(text: str) -> list[dict[str, Any]]:
    try:
        content = json.loads(text)["choices"][0]["logprobs"]["content"]
    except (ValueError, LookupError, TypeError):
        return []
    return [one for one in content if isinstance(one, dict)] if isinstance(content, list) else []
