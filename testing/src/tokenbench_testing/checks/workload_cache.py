"""Level 2: what workloads declare about the prefix cache."""

from __future__ import annotations

import itertools

from tokenbench_testing.kit import Subject, check, fail

from .workload import SEED, SESSIONS, first_prompts, sessions_of, turns_of, usable, workload_of


@check(2, "workload")
def priming_is_as_declared(subject: Subject) -> None:
    """`priming` yields sessions of one turn if the spec's `primes` is True, and none otherwise; the
    same for the same seed.

    To fix: correct the spec, or yield each shared prefix once as a ``SingleTurn``.
    """
    for context in usable(subject):
        first, second = (
            list(itertools.islice(workload_of(subject).priming(context, SEED), SESSIONS))
            for _ in range(2)
        )
        if bool(first) is not subject.spec.primes:
            fail(f"primes is {subject.spec.primes}, but there are {len(first)} sessions to prime")
        if any(not session.one_turn for session in first):
            fail("a session that primes the cache has several turns")
        if first_prompts(first) != first_prompts(second):
            fail(f"two instances with seed {SEED} prime with different prompts")


@check(2, "workload")
def shared_tokens_are_possible(subject: Subject) -> None:
    """`shared_tokens` is at most `n_in`, and 0 for the first turn of a stream that was not primed.

    To fix: count only tokens of earlier prompts of the same stream, or leave it None.
    """
    for context in usable(subject):
        first = True
        for turns in turns_of(sessions_of(subject, context)):
            for turn in turns:
                shared = turn.shared_tokens
                if shared is not None and (shared < 0 or shared > (turn.n_in or shared)):
                    fail(f"{shared} shared tokens in a prompt of {turn.n_in}")
                if first and shared:
                    fail(f"the first prompt of the stream shares {shared} tokens with earlier ones")
                first = False
