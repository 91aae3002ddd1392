"""Chooses a codec for a workload, and checks its first request before the server starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import attrs

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    ChatPrompt,
    Codec,
    Dialect,
    EngineRequest,
    LaunchPlan,
    Session,
    Target,
    Tokenizer,
    TokenPrompt,
    Turn,
    UsageError,
    Workload,
    WorkloadContext,
    WorkloadSpec,
)
from tokenbench.guard.members import owner_text
from tokenbench.guard.owner import wrong
from tokenbench.load.codecs import find_codec
from tokenbench.load.session_file import first_turns, pickled
from tokenbench.plugins.instances import PluginInstances
from tokenbench.suite.schema import LoadRequest
from tokenbench.suite.slo import Objective

from .resolve import ResolvedDeployment, ResolvedSuite


def choose_codec(
    workload: Workload,
    dialect: Dialect,
    tokenizer: Tokenizer | None,
    context_tokens: int | None,
    find: Callable[[str], Codec] = find_codec,
) -> tuple[str, WorkloadContext, Turn]:
    """The first codec of the server that can encode the workload's prompts, the context for the
    workload, and its first turn.

    Args:
        find: the codec of a name.

    Raises:
        UsageError: no codec can.
        PluginError: the workload failed.
    """
    refused: UsageError | None = None
    for codec in dialect.codecs:
        tokens = find(codec).tokens
        context = WorkloadContext(
            tokenizer=tokenizer,
            token_ids=dialect.token_id_prompts and codec != CHAT,
            chat=codec == CHAT,
            context_tokens=context_tokens,
            tokens=tokens,
        )
        try:
            turn = _first_turn(workload, context)
        except UsageError as error:
            # The workload may have prompts for the next codec.
            refused = refused or error
            continue
        if bool(turn.max_tokens) is not tokens:
            refused = refused or _other_answers(codec, tokens=tokens)
        elif _carries(codec, turn):
            return codec, context, turn
    raise refused or UsageError(
        f"the server's codecs ({', '.join(dialect.codecs)}) cannot carry this workload",
        hint="choose another workload or endpoint",
    )


def _other_answers(codec: str, *, tokens: bool) -> UsageError:
    if tokens:
        return UsageError(
            f"the answers of {codec} have tokens, but this workload asks for none",
            hint="choose an engine or an endpoint whose answers have none",
        )
    return UsageError(
        f"the answers of {codec} have no tokens, but this workload asks for some",
        hint="use a workload that asks for none, or an engine that generates",
    )


def _first_turn(workload: Workload, context: WorkloadContext) -> Turn:
    session: Session | None = next(iter(workload.sessions(context, 0)), None)
    if session is None:
        raise UsageError("the workload has no sessions", hint="check its options and data")
    owner = owner_text(workload)
    if not session.one_turn:
        pickled(session, owner)
    turns = first_turns(session, owner)
    if not turns:
        raise wrong(owner, "Session.next()", "returned no turn for the start of a session")
    return turns[0]


def _carries(codec: str, turn: Turn) -> bool:
    if codec == COMPLETIONS:
        return not isinstance(turn.prompt, ChatPrompt)
    if codec == CHAT:
        return not isinstance(turn.prompt, TokenPrompt)
    return True


def check_workload(name: str, spec: WorkloadSpec, workload: Workload, load: LoadRequest) -> None:
    """Check that a workload can do what the load asks of it.

    Raises:
        UsageError: it cannot.
    """
    if load.speed and not workload.arrivals_s():
        raise UsageError(
            f"the data of the workload {name!r} has no times, which load.speed (--speed) needs",
            hint="give load.rate (--rate) or load.concurrency (--concurrency)",
        )
    if load.prime_cache and not spec.primes:
        raise UsageError(
            f"the workload {name!r} cannot fill the prefix cache beforehand",
            hint="leave load.prime_cache out, or use a workload with shared prefixes",
        )


def check_first_requests(
    resolved: ResolvedSuite,
    deployment: ResolvedDeployment,
    request: EngineRequest,
    launch: LaunchPlan,
    plugins: PluginInstances,
) -> None:
    """Check the dialect, the codecs and, unless a tokenizer comes with the weights, the first
    request of each workload.

    Raises:
        PluginError: a plugin failed.
    """
    engine = plugins.engine(deployment.request.engine)
    name = launch.served_name or request.served_name
    dialect = engine.dialect(attrs.evolve(request, served_name=name))
    if not dialect.codecs:
        owner = plugins.owner("engine", deployment.request.engine.key)
        raise wrong(owner, "dialect()", "returned a Dialect without a codec")
    model = deployment.request.model
    has_tokenizer = model is not None and plugins.model(model).tokenizer is not None
    tokenizer = None if has_tokenizer else engine.tokenizer()
    check_traffic(
        plugins,
        [plugins.workload(ref) for ref in resolved.suite.workloads if not has_tokenizer],
        Target(model=name, dialect=dialect),
        tokenizer,
        request.needs.context_tokens,
        objectives=resolved.load.objectives,
        final=False,
    )


def check_traffic(
    plugins: PluginInstances,
    workloads: Iterable[Workload],
    target: Target,
    tokenizer: Tokenizer | None,
    context_tokens: int | None,
    *,
    objectives: Sequence[Objective] = (),
    final: bool = True,
) -> None:
    """Make and encode the first request of each workload: errors appear before the server starts.

    Args:
        objectives: limits on latencies.
        final: False: the running server may accept more, so a UsageError of a workload is ignored.

    Raises:
        UsageError: no codec can encode the workload, or an objective limits a metric that its
            answers do not have.
        PluginError: a plugin failed.
    """
    for codec in target.dialect.codecs:
        plugins.codec(codec)
    for workload in workloads:
        try:
            codec, _, turn = choose_codec(
                workload, target.dialect, tokenizer, context_tokens, plugins.codec
            )
            found = plugins.codec(codec)
            found.encode(turn, target)
        except UsageError:
            if final:
                raise
            continue
        if not found.tokens:
            _check_objectives(codec, objectives)


def _check_objectives(codec: str, objectives: Sequence[Objective]) -> None:
    for objective in objectives:
        if objective.metric != "e2e":
            raise UsageError(
                f"an objective limits {objective.metric}, but the answers of {codec} have no "
                "tokens",
                hint="limit e2e instead: load.slo (--slo) e2e_p99<200ms",
            )
