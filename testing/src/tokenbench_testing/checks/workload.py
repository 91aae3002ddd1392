"""Level 2: workloads. Deterministic sessions, as their spec declares them."""

from __future__ import annotations

import hashlib
import itertools
import pickle
import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tokenbench.api import (
    ChatPrompt,
    Message,
    OptionalFeatureMissing,
    PluginContext,
    Prompt,
    Session,
    SingleTurn,
    TextPrompt,
    Turn,
    UsageError,
    Workload,
    WorkloadContext,
)
from tokenbench_testing.kit import CheckFailed, Subject, check, fail, skip
from tokenbench_testing.samples.prompts import MAX_TURNS, contexts, opening, play
from tokenbench_testing.subprocess_call import call_in_subprocess

SEED, OTHER_SEED = 11, 12
SESSIONS = 20
_LONG = 200
_SHA256 = re.compile(r"[0-9a-f]{64}")


class _Part(Workload):
    """A part for composed workloads: short questions, all different."""

    def sessions(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        """Single requests."""
        draw = random.Random(seed)
        while True:
            text = f"What is {draw.random()}?"
            prompt = ChatPrompt((Message("user", text),)) if context.chat else TextPrompt(text)
            yield SingleTurn(Turn(prompt=prompt, max_tokens=8))


def make_workload(
    factory: Callable[..., Workload], parts: Callable[[Any], Sequence[Any]] | None, options: Any
) -> Workload:
    """A workload as core makes it. The parts of a composed workload are simple ones."""
    inner = () if parts is None else tuple(_Part() for _ in parts(options))
    return factory(options, PluginContext(parts=inner))


def workload_of(subject: Subject) -> Workload:
    """A new instance; skips if data or an extra that it needs is missing."""
    try:
        made = make_workload(subject.spec.factory, subject.spec.parts, subject.options)
    except (UsageError, OptionalFeatureMissing) as error:
        skip(f"could not create it here: {error.message}")
    return made


def usable(subject: Subject) -> list[WorkloadContext]:
    """The contexts that the workload serves. `every_context_is_served_or_rejected` checks the
    others.
    """
    found, reasons = [], ["it serves none of the kit's contexts"]
    for context in contexts():
        try:
            first = next(iter(workload_of(subject).sessions(context, SEED)), None)
            begins = opening(first) if first is not None else ()
        except UsageError as error:
            reasons.append(error.message)
            continue
        except Exception:  # noqa: S112 - the check named above reports it
            continue
        if not context.tokens and any(turn.max_tokens for turn in begins):
            continue  # Core refuses it.
        if context.chat or not any(isinstance(turn.prompt, ChatPrompt) for turn in begins):
            found.append(context)
    if not found:
        skip(reasons[-1])
    return found


def sessions_of(
    subject: Subject, context: WorkloadContext, seed: int = SEED, number: int | None = None
) -> list[Session]:
    """The first sessions of a new workload."""
    number = number or subject.data.get("sessions", SESSIONS)
    return list(itertools.islice(workload_of(subject).sessions(context, seed), number))


def turns_of(sessions: list[Session]) -> list[tuple[Turn, ...]]:
    """The turns of these sessions."""
    return [play(session).turns for session in sessions]


def all_turns(subject: Subject) -> Iterator[tuple[WorkloadContext, Turn]]:
    """All turns to check, with their contexts."""
    for context in usable(subject):
        for turns in turns_of(sessions_of(subject, context)):
            for turn in turns:
                yield context, turn


def first_prompts(sessions: list[Session]) -> list[Prompt]:
    """The first prompt of each session."""
    return [turn.prompt for session in sessions for turn in opening(session)[:1]]


def describe(context: WorkloadContext) -> str:
    """A context in words."""
    side = "chat" if context.chat else "token ids" if context.token_ids else "plain text"
    side += "" if context.tokens else " for answers without tokens"
    return f"{side}, {'with' if context.tokenizer else 'without'} a tokenizer"


@check(2, "workload")
def every_context_is_served_or_rejected(subject: Subject) -> None:
    """In each context (chat, text, token ids; with and without tokenizer) the workload yields
    sessions, or raises UsageError.

    To fix: check `context.tokenizer`, `context.token_ids` and `context.chat` before using them.
    """
    for context in contexts():
        try:
            for session in itertools.islice(workload_of(subject).sessions(context, SEED), 1):
                opening(session)
        except UsageError:
            continue
        except Exception as error:
            fail(f"{describe(context)}: raised {type(error).__name__}: {error}")


@check(2, "workload")
def session_stream_is_long(subject: Subject) -> None:
    """There are at least 200 sessions: a run must not run out of them.

    To fix: at the end of the data, start again with different prompts.
    """
    for context in usable(subject):
        found = len(sessions_of(subject, context, number=_LONG))
        if found < _LONG:
            fail(f"{describe(context)}: the stream ends after {found} sessions")


@check(2, "workload")
def sessions_begin_with_a_turn(subject: Subject) -> None:
    """``next(None)`` returns at least one turn.

    To fix: omit empty conversations.
    """
    for context in usable(subject):
        for number, session in enumerate(sessions_of(subject, context)):
            if not opening(session):
                fail(f"{describe(context)}: session {number} has nothing to send")


@check(2, "workload")
def same_seed_same_sessions(subject: Subject) -> None:
    """Two workloads with the same options and seed yield the same turns.

    To fix: draw everything from ``random.Random(seed)``; use no clock and no global generator.
    """
    for context in usable(subject):
        first, second = (turns_of(sessions_of(subject, context)) for _ in range(2))
        if first != second:
            fail(f"{describe(context)}: two instances with seed {SEED} yield different turns")


def _digest(factory: Callable[..., Workload], parts: Any, options: Any, number: int) -> str:
    """Hash of the first sessions in the first context that is served."""
    for context in contexts():
        try:
            stream = make_workload(factory, parts, options).sessions(context, SEED)
            turns = turns_of(list(itertools.islice(stream, number)))
        except UsageError:
            continue
        return hashlib.sha256(repr(turns).encode()).hexdigest()
    return ""


@check(2, "workload")
def every_process_has_the_same_sessions(subject: Subject) -> None:
    """The same seed yields the same turns in another interpreter.

    To fix: do not call ``hash()`` on text, and sort sets before drawing from them.
    """
    usable(subject)
    spec, number = subject.spec, subject.data.get("sessions", SESSIONS)
    job = (spec.factory, spec.parts, subject.options, number)
    if _digest(*job) != _digest(*job):
        skip("see same-seed-same-sessions")
    if _digest(*job) != call_in_subprocess(_digest, *job):
        fail("another process yields different sessions for the same seed")


@check(2, "workload")
def session_streams_are_independent(subject: Subject) -> None:
    """A stream yields the same prompts if another stream is read at the same time.

    To fix: use a separate generator per stream, ``random.Random(seed)``; do not seed the global
    one.
    """
    for context in usable(subject):
        sessions = sessions_of(subject, context)
        mine = iter(workload_of(subject).sessions(context, SEED))
        other = iter(workload_of(subject).sessions(context, OTHER_SEED))
        pairs = list(itertools.islice(zip(mine, other, strict=False), len(sessions)))
        if first_prompts([session for session, _ in pairs]) != first_prompts(sessions):
            fail(f"{describe(context)}: a second stream changes the first one's prompts")


@check(2, "workload")
def sessions_share_no_state(subject: Subject) -> None:
    """The order in which sessions are played does not change their turns.

    To fix: store what a session needs in the session; draw it before yielding it.
    """
    for context in usable(subject):
        forward = turns_of(sessions_of(subject, context))
        backward = turns_of(sessions_of(subject, context)[::-1])[::-1]
        if forward != backward:
            fail(f"{describe(context)}: the turns depend on the order of the sessions")


@check(2, "workload")
def seeds_share_no_prompts(subject: Subject) -> None:
    """Warm-up and repeats use different seeds, so their first prompts must differ: otherwise the
    server's cache would answer. With a finite data set, some may be equal.

    To fix: use the seed for everything that is drawn.
    """
    for context in usable(subject):
        one, other = (
            first_prompts(sessions_of(subject, context, seed)) for seed in (SEED, OTHER_SEED)
        )
        shared = len(set(one) & set(other))
        if (one and one == other) or (shared and workload_of(subject).dataset_hash() is None):
            fail(f"{describe(context)}: seeds {SEED} and {OTHER_SEED} share {shared} prompts")


def _first(subject: Subject, context: WorkloadContext) -> Session:
    found = sessions_of(subject, context, number=1)
    if not found:
        skip("there are no sessions")
    return found[0]


def _copy(session: Session) -> Session:
    try:
        copy: Session = pickle.loads(pickle.dumps(session))  # noqa: S301 - made here
    except Exception as error:
        fail(f"the session cannot be pickled: {type(error).__name__}: {error}")
    return copy


@check(2, "workload")
def sessions_pickle(subject: Subject) -> None:
    """A session can be pickled, and then has the same turns: it is sent to a load worker.

    To fix: use a top-level class without lambdas, files or generators.
    """
    for context in usable(subject):
        copied = play(_copy(_first(subject, context)))
        if copied != play(_first(subject, context)):
            fail(f"{describe(context)}: the unpickled session has different turns")


@check(2, "workload")
def sessions_pickle_between_turns(subject: Subject) -> None:
    """A session pickled in the middle of its conversation continues there.

    To fix: store what the next turn needs in attributes that are pickled.
    """
    for context in usable(subject):
        try:
            copied = play(_first(subject, context), between=_copy)
        except CheckFailed as problem:
            skip(f"see sessions-pickle: {problem}")
        if copied != play(_first(subject, context)):
            fail(f"{describe(context)}: pickled between turns, the session has different turns")


@check(2, "workload")
def sessions_end(subject: Subject) -> None:
    """Every session ends.

    To fix: return None from ``next`` after the last turn.
    """
    for context in usable(subject):
        for number, session in enumerate(sessions_of(subject, context)):
            if not play(session).over:
                fail(f"{describe(context)}: session {number} has more than {MAX_TURNS} turns")


@check(2, "workload")
def sessions_end_after_failures(subject: Subject) -> None:
    """A session ends without an exception if all turns, or every second one, fail.

    To fix: check ``previous.ok``; after a failure return None, or retry a limited number of times.
    """
    for context in usable(subject):
        for fails in (lambda _number: True, lambda number: number % 2 == 0):
            for session in sessions_of(subject, context):
                try:
                    over = play(session, fails=fails).over
                except Exception as error:
                    fail(f"after a failed turn: {type(error).__name__}: {error}")
                if not over:
                    fail(f"with failed turns, a session has more than {MAX_TURNS} turns")


@check(2, "workload")
def parents_are_earlier_turns(subject: Subject) -> None:
    """`parents` has numbers of turns that the session returned before.

    To fix: turns are numbered from 0 in the order in which `next` returns them.
    """
    for context in usable(subject):
        for turns in turns_of(sessions_of(subject, context)):
            for number, turn in enumerate(turns):
                wrong = [parent for parent in turn.parents if not 0 <= parent < number]
                if wrong:
                    fail(f"turn {number} waits for turn {wrong[0]}")


@check(2, "workload")
def multi_turn_is_as_declared(subject: Subject) -> None:
    """Sessions have several turns only if the spec's `multi_turn` is True, and some do if it is,
    unless the workload is composed of others.

    To fix: correct the spec.
    """
    for context in usable(subject):
        longest = max(map(len, turns_of(sessions_of(subject, context))), default=0)
        declared = subject.spec.multi_turn
        if (longest > 1) is not declared and not (declared and subject.spec.parts):
            fail(f"multi_turn is {declared}, but the longest session has {longest} turns")


@check(2, "workload")
def one_turn_sessions_have_one_turn(subject: Subject) -> None:
    """A session with `one_turn` True has one turn, without parents.

    To fix: set `one_turn` only on sessions with a single request.
    """
    for context in usable(subject):
        for number, session in enumerate(sessions_of(subject, context)):
            turns = play(session).turns
            if session.one_turn and (len(turns) > 1 or any(turn.parents for turn in turns)):
                fail(f"session {number} has one_turn set, but {len(turns)} turns")


@check(2, "workload")
def one_turn_sessions_are_repeatable(subject: Subject) -> None:
    """With `one_turn` True, ``next(None)`` returns the same turn each time: it is called once
    before the clock starts, and again when the turn is sent.

    To fix: create the turn together with the session.
    """
    for context in usable(subject):
        for session in sessions_of(subject, context):
            if session.one_turn and opening(session) != opening(session):
                fail(f"{describe(context)}: a second next(None) returns a different turn")


@check(2, "workload")
def dataset_hash_is_valid(subject: Subject) -> None:
    """`dataset_hash()` is None or a hexadecimal SHA-256, constant for the same data.

    To fix: ``hashlib.sha256(data).hexdigest()`` over the bytes of the file.
    """
    first, second = (workload_of(subject).dataset_hash() for _ in range(2))
    if first is not None and not _SHA256.fullmatch(first):
        fail(f"{first!r} is not a SHA-256")
    if first != second:
        fail("two calls return different hashes")
