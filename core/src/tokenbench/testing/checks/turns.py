"""Level 2: the turns of a workload. Each can be sent, and its lengths are correct."""

from __future__ import annotations

import math

from tokenbench.api import ChatPrompt, TokenPrompt
from tokenbench.testing.kit import Subject, check, fail, skip
from tokenbench.testing.samples.prompts import count, texts

from .workload import all_turns, describe, workload_of


@check(2, "workload")
def prompts_are_not_empty(subject: Subject) -> None:
    """Each prompt has at least one token id or character.

    To fix: omit empty items.
    """
    for context, turn in all_turns(subject):
        prompt = turn.prompt
        if not (prompt.ids if isinstance(prompt, TokenPrompt) else "".join(texts(prompt))):
            fail(f"{describe(context)}: empty prompt")


@check(2, "workload")
def prompts_fit_the_server(subject: Subject) -> None:
    """Token ids are used only if the server accepts them, messages only for chats. The first prompt
    of a workload selects the codec for all of its turns.

    To fix: select the kind of prompt by `context.token_ids` and `context.chat`.
    """
    for context, turn in all_turns(subject):
        ids, chat = isinstance(turn.prompt, TokenPrompt), isinstance(turn.prompt, ChatPrompt)
        if (ids and not context.token_ids) or (chat and not context.chat):
            fail(f"{describe(context)}: {type(turn.prompt).__name__}")


@check(2, "workload")
def token_ids_exist(subject: Subject) -> None:
    """Token ids are in the tokenizer's vocabulary and not special.

    To fix: draw from ``range(tokenizer.vocab_size)`` without ``tokenizer.special_ids``.
    """
    for context, turn in all_turns(subject):
        if isinstance(turn.prompt, TokenPrompt) and context.tokenizer is not None:
            tokenizer = context.tokenizer
            allowed = set(range(tokenizer.vocab_size)) - tokenizer.special_ids
            wrong = set(turn.prompt.ids) - allowed
            if wrong:
                fail(f"token id {min(wrong)} is special or outside the vocabulary")


@check(2, "workload")
def prompt_lengths_are_true(subject: Subject) -> None:
    """If `n_in` is set, the prompt has that many tokens, without chat template.

    To fix: count with ``tokenizer.encode`` on the final text, or omit `n_in`.
    """
    for context, turn in all_turns(subject):
        known = context.tokenizer is not None or isinstance(turn.prompt, TokenPrompt)
        if turn.n_in is None or not known:
            continue
        prompt = turn.prompt
        found = len(prompt.ids) if isinstance(prompt, TokenPrompt) else None
        if found is None and context.tokenizer is not None:
            found = count(prompt, context.tokenizer)
        if found != turn.n_in:
            fail(f"{describe(context)}: n_in is {turn.n_in}, the prompt has {found} tokens")


@check(2, "workload")
def max_tokens_is_positive(subject: Subject) -> None:
    """`max_tokens` is at least 1.

    To fix: omit turns with an empty answer.
    """
    for context, turn in all_turns(subject):
        if turn.max_tokens < 1:
            fail(f"{describe(context)}: max_tokens is {turn.max_tokens}")


@check(2, "workload")
def exact_lengths_are_requested(subject: Subject) -> None:
    """With `exact_lengths` in the spec, every turn has `exact_output`, and with a tokenizer also
    `n_in`.

    To fix: set `exact_output` and `n_in`, or remove `exact_lengths` from the spec.
    """
    if not subject.spec.exact_lengths:
        skip("its spec does not have exact_lengths")
    for context, turn in all_turns(subject):
        if not turn.exact_output:
            fail(f"{describe(context)}: a turn without exact_output")
        if turn.n_in is None and context.tokenizer is not None:
            fail(f"{describe(context)}: a turn without n_in")


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
        if n_in is None and context.tokenizer is not None:
            n_in = count(turn.prompt, context.tokenizer)
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
