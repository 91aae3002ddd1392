"""Which codec of a server carries a workload, and its first request before the server starts."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    ChatPrompt,
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
)
from tokenbench.guard.members import owner_text
from tokenbench.guard.owner import wrong
from tokenbench.load.session_file import first_turns, pickled
from tokenbench.plugins.instances import PluginInstances

from .resolve import ResolvedDeployment, ResolvedSuite


def choose_codec(
    workload: Workload,
    dialect: Dialect,
    tokenizer: Tokenizer | None,
    context_tokens: int | None,
) -> tuple[str, WorkloadContext, Turn]:
    """The first codec of the server that can carry the workload's prompts, what the workload is
    told about the server, and its first turn.

    Raises:
        UsageError: no codec can.
        PluginError: the workload failed.
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
            turn = _first_turn(workload, context)
        except UsageError as error:
            # The workload may have prompts for the next codec.
            refused = refused or error
            continue
        if _carries(codec, turn):
            return codec, context, turn
    raise refused or UsageError(
        f"the server's codecs ({', '.join(dialect.codecs)}) cannot carry this workload",
        hint="choose another workload or endpoint",
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
        final=False,
    )


def check_traffic(
    plugins: PluginInstances,
    workloads: Iterable[Workload],
    target: Target,
    tokenizer: Tokenizer | None,
    context_tokens: int | None,
    *,
    final: bool = True,
) -> None:
    """Make and encode the first request of each workload, which would otherwise only fail once the
    server runs.

    Args:
        final: False: the server may turn out to take more, so what a workload refuses is no error.

    Raises:
        UsageError: no codec can carry the workload.
        PluginError: a plugin failed.
    """
    for codec in target.dialect.codecs:
        plugins.codec(codec)
    for workload in workloads:
        try:
            codec, _, turn = choose_codec(workload, target.dialect, tokenizer, context_tokens)
            plugins.codec(codec).encode(turn, target)
        except UsageError:
            if final:
                raise
