"""The sessions of a phase, for the codec and the tokenizer of one server."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import attrs

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    ChatPrompt,
    Dialect,
    FittedWords,
    Session,
    Tokenizer,
    TokenPrompt,
    Turn,
    UsageError,
    Workload,
    WorkloadContext,
)

from .prompt_fit import Fitting, fit_prompts

# Prompts that verify a fit; phases never draw this seed by chance.
_SAMPLE_SEED, _SAMPLES = 1, 8


@attrs.frozen(kw_only=True)
class Traffic:
    """A workload as one server gets it: with its codec and its tokenizer.

    `prompt_form`: ``chat``, ``text`` or ``token ids``.
    """

    workload: Workload
    context: WorkloadContext
    codec: str
    prompt_form: str

    def sessions(self, seed: int, count: int | None = None) -> Iterator[Session]:
        """The first `count` sessions of a seed; by default all, which may be endless."""
        return itertools.islice(self.workload.sessions(self.context, seed), count)


def traffic(
    workload: Workload,
    dialect: Dialect,
    tokenizer: Tokenizer | None,
    context_tokens: int | None,
    fitting: Fitting | None = None,
) -> Traffic:
    """Choose the first codec of the server that can carry the workload's prompts.

    If the workload asks for exact lengths of text and there is no tokenizer, the text is fitted to
    the server's counts with `fitting`.

    Raises:
        UsageError: no codec can, or the text cannot be fitted.
        Interrupted: the user stopped the run.
    """
    refused: UsageError | None = None
    for codec in dialect.codecs:
        context = WorkloadContext(
            tokenizer=tokenizer,
            token_ids=dialect.token_id_prompts and codec != CHAT,
            chat=codec == CHAT,
            context_tokens=context_tokens,
        )
        try:
            first = next(iter(workload.sessions(context, 0)), None)
        except UsageError as error:
            # The workload may have prompts for the next codec.
            refused = refused or error
            continue
        if first is None:
            raise UsageError("the workload has no sessions", hint="check its options and data")
        if _carries(codec, first):
            made = Traffic(
                workload=workload, context=context, codec=codec, prompt_form=_form(codec, first)
            )
            return made if fitting is None or tokenizer is not None else _fitted(made, fitting)
    raise refused or UsageError(
        f"the server's codecs ({', '.join(dialect.codecs)}) cannot carry this workload",
        hint="choose another workload or endpoint",
    )


def _fitted(made: Traffic, fitting: Fitting) -> Traffic:
    """With words measured on the server, if the workload asks for exact lengths of text."""
    first = _first_turn(next(made.sessions(0, 1)))
    if first is None or first.n_in is None or isinstance(first.prompt, TokenPrompt):
        return made

    def sample(words: FittedWords) -> Iterator[Turn]:
        trial = attrs.evolve(made, context=attrs.evolve(made.context, fitted=words))
        turns = map(_first_turn, trial.sessions(_SAMPLE_SEED, _SAMPLES))
        return (turn for turn in turns if turn is not None)

    words = fit_prompts(fitting, made.codec, chat=made.context.chat, sample=sample)
    return attrs.evolve(made, context=attrs.evolve(made.context, fitted=words))


def _form(codec: str, session: Session) -> str:
    """``chat``, ``token ids`` or ``text``."""
    if codec == CHAT:
        return "chat"
    return "token ids" if isinstance(_first_prompt(session), TokenPrompt) else "text"


def _first_turn(session: Session) -> Turn | None:
    turns = session.next(None)
    return turns if isinstance(turns, Turn) else (turns or (None,))[0]


def _first_prompt(session: Session) -> object:
    first = _first_turn(session)
    return first.prompt if first is not None else None


def _carries(codec: str, session: Session) -> bool:
    prompt = _first_prompt(session)
    if codec == COMPLETIONS:
        return not isinstance(prompt, ChatPrompt)
    if codec == CHAT:
        return not isinstance(prompt, TokenPrompt)
    return True
