"""Level 2: the turns of a workload. Each can be sent, and its lengths are correct."""

from __future__ import annotations

import math

from tokenbench.api import BatchPrompt, ChatPrompt, Prompt, TokenPrompt
from tokenbench_testing.kit import Subject, check, fail, skip
from tokenbench_testing.samples.prompts import count, texts

from .workload import all_turns, describe, workload_of


def _parts(prompt: Prompt) -> tuple[Prompt, ...]:
    """The inputs of a batch, or the prompt itself."""
    return prompt.inputs if isinstance(prompt, BatchPrompt) else (prompt,)


def _ids(prompt: Prompt) -> tuple[int, ...]:
    return prompt.ids if isinstance(prompt, TokenPrompt) else ()


@check(2, "workload")
def prompts_are_not_empty(subject: Subject) -> None:
    """Each prompt has at least one token id or character.

    To fix: omit empty items.
    """
    for context, turn in all_turns(subject):
        if any(not (_ids(one) or "".join(texts(one))) for one in _parts(turn.prompt)):
            fail(f"{describe(context)}: empty prompt")


@check(2, "workload")
def prompts_fit_the_server(subject: Subject) -> None:
    """Token ids are used only if the server accepts them, messages only for chats. The first prompt
    of a workload selects the codec for all of its turns.

    To fix: select the kind of prompt by `context.token_ids` and `context.chat`.
    """
    for context, turn in all_turns(subject):
        ids = any(_ids(one) for one in _parts(turn.prompt))
        chat = isinstance(turn.prompt, ChatPrompt)
        if (ids and not context.token_ids) or (chat and not context.chat):
            fail(f"{describe(context)}: {type(turn.prompt).__name__}")


@check(2, "workload")
def token_ids_exist(subject: Subject) -> None:
    """Token ids are in the tokenizer's vocabulary and not special.

    To fix: draw from ``range(tokenizer.vocab_size)`` without ``tokenizer.special_ids``.
    """
    for context, turn in all_turns(subject):
        if context.tokenizer is not None:
            tokenizer = context.tokenizer
            allowed = set(range(tokenizer.vocab_size)) - tokenizer.special_ids
            wrong = {id_ for one in _parts(turn.prompt) for id_ in _ids(one)} - allowed
            if wrong:
                fail(f"token id {min(wrong)} is special or outside the vocabulary")


@check(2, "workload")
def prompt_lengths_are_true(subject: Subject) -> None:
    """If `n_in` is set, the prompt has that many tokens, without chat template.

    To fix: count with ``tokenizer.encode`` on the final text, or omit `n_in`.
    """
    for context, turn in all_turns(subject):
        prompt = turn.prompt
        if turn.n_in is None:
            continue
        if isinstance(prompt, TokenPrompt):
            found = len(prompt.ids)
        elif context.tokenizer is not None:
            found = count(prompt, context.tokenizer)
        else:
            continue
        if found != turn.n_in:
            fail(f"{describe(context)}: n_in is {turn.n_in}, the prompt has {found} tokens")


@check(2, "workload")
def max_tokens_is_positive(subject: Subject) -> None:
    """`max_tokens` is at least 1, unless the answers of the server have no tokens.

    To fix: omit turns with an empty answer.
    """
    for context, turn in all_turns(subject):
        if turn.max_tokens < context.tokens:
            fail(f"{describe(context)}: max_tokens is {turn.max_tokens}")


@check(2, "workload")
def context_is_large_enough(subject: Subject) -> None:
    """Prompt and answer of each turn fit into `context_tokens()`, which sizes the server.

    To fix: return the maximum over all turns; in a conversation, earlier answers count with their
    maximum length.
    """
    limit = workload_of(subject).context_tokens()
    if limit is None:
        skip("its context_tokens() is None")
    for context, turn in all_turns(subject):
        n_in = turn.n_in
        batch = isinstance(turn.prompt, BatchPrompt)
        if (n_in is None or batch) and context.tokenizer is not None:
            n_in = max(count(one, context.tokenizer) for one in _parts(turn.prompt))
        elif batch:
            continue
        if n_in is not None and n_in + turn.max_tokens > limit:
            fail(f"{describe(context)}: {n_in} + {turn.max_tokens} tokens do not fit into {limit}")


@check(2, "workload")
def delays_are_not_negative(subject: Subject) -> None:
    """`delay_s` is a finite number of seconds, 0 or more.

    To fix: differences of a trace's timestamps may be negative; use 0 then.
    """
    for context, turn in all_turns(subject):
        if not (math.isfinite(turn.delay_s) and turn.delay_s >= 0):
            fail(f"{describe(context)}: delay_s is {turn.delay_s}")
