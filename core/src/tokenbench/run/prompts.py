"""The sessions of a phase, for the codec and the tokenizer of one server."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import attrs

from tokenbench.api import (
    CHAT,
    BatchPrompt,
    Codec,
    Dialect,
    FittedWords,
    Session,
    Tokenizer,
    TokenPrompt,
    Turn,
    Workload,
    WorkloadContext,
)
from tokenbench.guard.members import owner_text
from tokenbench.load.codecs import find_codec
from tokenbench.load.session_file import first_turns
from tokenbench.plan.traffic import choose_codec

from .prompt_fit import Fitting, fit_prompts

# Prompts that verify a fit; phases never draw this seed by chance.
_SAMPLE_SEED, _SAMPLES = 1, 8


@attrs.frozen(kw_only=True)
class Traffic:
    """A workload with the codec and the tokenizer of one server.

    `prompt_form`: ``chat``, ``text`` or ``token ids``.
    """

    workload: Workload
    context: WorkloadContext
    codec: str
    prompt_form: str

    def sessions(
        self, seed: int, count: int | None = None, *, primed: bool = False, begin_inside: int = 0
    ) -> Iterator[Session]:
        """The first `count` sessions of a seed; by default all, which may be endless."""
        context = attrs.evolve(self.context, primed=primed, begin_inside=begin_inside)
        return itertools.islice(self.workload.sessions(context, seed), count)

    def priming(self, seed: int) -> Iterator[Session]:
        """Sessions that fill the prefix cache for the sessions of a seed."""
        return iter(self.workload.priming(self.context, seed))


def traffic(
    workload: Workload,
    dialect: Dialect,
    tokenizer: Tokenizer | None,
    context_tokens: int | None,
    fitting: Fitting | None = None,
    find: Callable[[str], Codec] = find_codec,
) -> Traffic:
    """Choose the first codec of the server that can carry the workload's prompts.

    If the workload needs text of exact length and there is no tokenizer, the text is fitted to the
    server's token counts with `fitting`.

    Args:
        find: returns the codec of a name.

    Raises:
        UsageError: no codec can carry the prompts, or the text cannot be fitted.
        Interrupted: the user stopped the run.
    """
    codec, context, turn = choose_codec(workload, dialect, tokenizer, context_tokens, find)
    made = Traffic(workload=workload, context=context, codec=codec, prompt_form=_form(codec, turn))
    return made if fitting is None or tokenizer is not None else _fitted(made, fitting, turn)


def _fitted(made: Traffic, fitting: Fitting, first: Turn) -> Traffic:
    """Add words measured on the server, if the workload needs text of exact length."""
    if first.n_in is None or isinstance(first.prompt, TokenPrompt):
        return made

    def sample(words: FittedWords) -> Iterator[Turn]:
        trial = attrs.evolve(made, context=attrs.evolve(made.context, fitted=words))
        owner = owner_text(made.workload)
        for session in trial.sessions(_SAMPLE_SEED, _SAMPLES):
            yield from first_turns(session, owner)[:1]

    words = fit_prompts(fitting, made.codec, chat=made.context.chat, sample=sample)
    return attrs.evolve(made, context=attrs.evolve(made.context, fitted=words))


def _form(codec: str, turn: Turn) -> str:
    """``chat``, ``token ids`` or ``text``."""
    if codec == CHAT:
        return "chat"
    prompt = turn.prompt
    first = prompt.inputs[0] if isinstance(prompt, BatchPrompt) else prompt
    return "token ids" if isinstance(first, TokenPrompt) else "text"
