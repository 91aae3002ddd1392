"""Finds out with one-token requests which fields a running server accepts.

First a plain request must succeed; fields that the server refuses in it (``max_tokens``,
``stream_options``) are replaced or left out. Then one request tries all other fields together. Only
if the server refuses it, each field is tried alone. So a server that accepts all gets one request.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    ChatPrompt,
    Dialect,
    EngineError,
    FrozenMap,
    Message,
    Negotiation,
    Prompt,
    ServerClient,
    TextPrompt,
    TokenPrompt,
    Turn,
)
from tokenbench.load.generate import Generated
from tokenbench.load.request_state import NO_END_MARK

from .tokenize_endpoint import find_tokenize

MAX_TOKENS, MAX_COMPLETION_TOKENS = "max_tokens", "max_completion_tokens"
_FLAGS = ("continuous_usage", "ignore_eos", "min_tokens", "seed", "token_id_prompts")
# Ids that are plain tokens in every common vocabulary; a beginning-of-text token may be added.
_IDS = tuple(range(300, 316))
_MOST_ADDED = 2
# Statuses that do not concern the fields of a request, but the key, path, load or network.
_OTHER_CAUSES = ("401", "403", "404", "408", "429", "502", "503", "504")
_SHOWN = 160

Send = Callable[[Dialect, str, Turn], Generated]
"""Sends a turn in a dialect, with the codec of that name."""


def plain_prompt(codec: str, tokens: int = 1) -> Prompt:
    """A prompt that every server of that codec accepts, with at least this many tokens."""
    # A word has at least one token.
    more = "One more word. " * (tokens // 3)
    if codec == CHAT:
        return ChatPrompt((Message("user", f"{more}Say one word."),))
    return TextPrompt(f"{more}The word is")


class Negotiator:
    """Finds out what one server accepts. `dialect` is the best one known so far; `facts` are for
    the provenance, `notes` for the reports.

    Args:
        wanted: the fields and pages that the engine wants to be tried.
        dialect: what the engine claims; the first request is sent with it.
        send: sends a request.
        server: for control requests.
        model: the served model name.
    """

    def __init__(
        self, wanted: Negotiation, dialect: Dialect, send: Send, server: ServerClient, model: str
    ) -> None:
        self._wanted = wanted
        self._claimed = self.dialect = dialect
        self._send = send
        self._server = server
        self._model = model
        self._requests = 1  # The first one.
        self.facts: dict[str, str] = {}
        self.notes: list[str] = []

    def plainer(self, response: Generated) -> bool:
        """Find a dialect that the server accepts after it refused a plain request.

        Returns:
            Whether there is one; it is in `dialect`.

        Raises:
            EngineError: the server refuses a field that the user asked for.
        """
        if self.facts:
            return False
        if response.error == NO_END_MARK:
            self.dialect = attrs.evolve(self.dialect, done_event=False)
            self._record("done_event", "no")
            self.notes.append("the server's streams do not end with [DONE], which was expected")
            return True
        if _verdict(response) != "no":
            return False
        for dialect in self._alternatives():
            if self._try(dialect).error is None:
                self._record_alternative(dialect, response.error or "")
                self.dialect = dialect
                return True
        self._blame(response.error or "")
        return False

    def result(self) -> Dialect:
        """The dialect to measure with.

        Raises:
            EngineError: the server refuses a field that the user asked for.
        """
        self._record("max_tokens_field", self.dialect.max_tokens_field)
        if "takes.usage" not in self.facts:
            self._record("usage", "yes" if self.dialect.usage else "not asked")
        wanted = [name for name in _FLAGS if self._worth(name)]
        if wanted:
            response = self._try(self._with(*wanted), exact=True)
            if self.dialect.usage and response.error is None and response.n_in is None:
                self._record("usage", "yes, but the server reports none")
            self._judge(wanted, response)
        self._token_ids()
        self._pages()
        self.facts["probe.requests"] = str(self._requests)
        return self.dialect

    # -- fields ----------------------------------------------------------------------------------

    def _worth(self, name: str) -> bool:
        """Whether a field is tried with the preferred codec."""
        if not getattr(self._wanted.tries, name):
            return False
        if name == "token_id_prompts":
            return self.dialect.codecs[0] == COMPLETIONS
        return name != "continuous_usage" or self.dialect.usage

    def _with(self, *names: str) -> Dialect:
        """The plain dialect with some of the fields."""
        on: dict[str, Any] = {name: name in names for name in _FLAGS}
        return attrs.evolve(self.dialect, **on)

    def _judge(self, wanted: list[str], response: Generated) -> None:
        verdicts = dict.fromkeys(wanted, response)
        if _verdict(response) == "no":
            verdicts = {name: self._try(self._with(name), exact=True) for name in wanted}
        taken = [name for name, answer in verdicts.items() if self._takes(name, answer)]
        self.dialect = attrs.evolve(
            self._with(*taken),
            token_id_prompts="token_id_prompts" in taken
            or (self._claimed.token_id_prompts and "token_id_prompts" not in wanted),
        )

    def _takes(self, name: str, response: Generated) -> bool:
        """Record whether the server accepts a field. If unknown, the engine's claim holds."""
        verdict = _verdict(response)
        reason = (response.error or "")[:_SHOWN]
        if verdict == "yes" and name == "token_id_prompts" and not _counted(response):
            verdict, reason = "no", f"{len(_IDS)} ids became {response.n_in} prompt tokens"
        self._record(name, verdict if verdict == "yes" else f"{verdict}: {reason}")
        if verdict == "no":
            self._refused(name, reason)
        claimed: bool = getattr(self._claimed, name)
        return verdict == "yes" or (verdict == "unknown" and claimed)

    def _refused(self, name: str, reason: str) -> None:
        if name in self._wanted.firm:
            raise _asked_for(name, reason)
        if getattr(self._claimed, name):
            self.notes.append(f"the server refuses {name}, which is not sent: {reason}")

    def _token_ids(self) -> None:
        """Try token ids with the completions codec if another codec is preferred."""
        tried = self._wanted.tries.token_id_prompts and COMPLETIONS in self.dialect.codecs
        if not tried or "takes.token_id_prompts" in self.facts:
            return
        dialect = attrs.evolve(self.dialect, token_id_prompts=True)
        response = self._try(dialect, codec=COMPLETIONS)
        if _verdict(response) == "yes" and _counted(response):
            self.dialect = dialect
        reason = (response.error or "the count of its tokens differs")[:_SHOWN]
        self._record("token_id_prompts", "yes" if self.dialect is dialect else f"no: {reason}")
        if "token_id_prompts" in self._wanted.firm and self.dialect is not dialect:
            raise _asked_for("token_id_prompts", reason)

    # -- a plain request that is refused -----------------------------------------------------------

    def _alternatives(self) -> Iterator[Dialect]:
        """Dialects with the other field for the output limit, or without usage, in that order."""
        firm = self._wanted.firm
        fields = [self.dialect.max_tokens_field]
        if "max_tokens_field" not in firm:
            fields.append(_other(fields[0]))
        usages = [self.dialect.usage]
        if "usage" not in firm and self.dialect.usage:
            usages.append(False)
        for usage, field in itertools.islice(itertools.product(usages, fields), 1, None):
            yield attrs.evolve(
                self.dialect,
                usage=usage,
                continuous_usage=usage and self.dialect.continuous_usage,
                max_tokens_field=field,
            )
        if self.dialect.continuous_usage and "continuous_usage" not in firm:
            yield attrs.evolve(self.dialect, continuous_usage=False)

    def _record_alternative(self, dialect: Dialect, reason: str) -> None:
        reason = reason[:_SHOWN]
        if not dialect.usage:
            self._record("usage", f"no: {reason}")
            self.notes.append(f"the server refuses stream_options, which is not sent: {reason}")
        self.facts["probe.first_refusal"] = reason

    def _blame(self, reason: str) -> None:
        """Raise if a plain request works only without fields that the user asked for."""
        names = [name for name in sorted(self._wanted.firm) if _matters(self.dialect, name)]
        for some in [*([name] for name in names), *([names] if len(names) > 1 else [])]:
            if self._try(_without(self.dialect, some)).error is None:
                raise _asked_for(" and ".join(some), reason[:_SHOWN])

    # -- pages -------------------------------------------------------------------------------------

    def _pages(self) -> None:
        for path in self._wanted.pages:
            try:
                answer = str(self._server.get(path).status)
            except ConnectionError:
                answer = "no answer"
            self.facts[f"page.{path.strip('/').replace('/', '.')}"] = answer
        if self._wanted.pages:
            found = find_tokenize(self._server.post, self._model)
            self.facts["page.tokenize"] = "no" if found is None else "yes"

    # -- inside ------------------------------------------------------------------------------------

    def _try(self, dialect: Dialect, *, exact: bool = False, codec: str | None = None) -> Generated:
        codec = codec or dialect.codecs[0]
        ids = dialect.token_id_prompts and codec == COMPLETIONS
        prompt: Prompt = TokenPrompt(_IDS) if ids else plain_prompt(codec)
        turn = Turn(prompt=prompt, max_tokens=1, exact_output=exact, seed=1 if exact else None)
        self._requests += 1
        return self._send(dialect, codec, turn)

    def _record(self, name: str, answer: str) -> None:
        self.facts[f"takes.{name}"] = answer


def _verdict(response: Generated) -> str:
    """``yes``, ``no`` (the server refuses what is in the request) or ``unknown``."""
    if response.error is None:
        return "yes"
    if not response.error.startswith("HTTP "):
        return "unknown"
    return "unknown" if response.error[5:8] in _OTHER_CAUSES else "no"


def _counted(response: Generated) -> bool:
    """Whether each id became one token; true if the server reports no usage."""
    return response.n_in is None or 0 <= response.n_in - len(_IDS) <= _MOST_ADDED


def _other(field: str) -> str:
    return MAX_COMPLETION_TOKENS if field == MAX_TOKENS else MAX_TOKENS


def _matters(dialect: Dialect, name: str) -> bool:
    """Whether a plain request has the field, so that :func:`_without` changes it."""
    return name in (*dialect.extra_body, "max_tokens_field") or (name == "usage" and dialect.usage)


def _without(dialect: Dialect, names: list[str]) -> Dialect:
    """The dialect without fields that the user asked for."""
    rest = {key: value for key, value in dialect.extra_body.items() if key not in names}
    dialect = attrs.evolve(dialect, extra_body=FrozenMap(rest))
    if "max_tokens_field" in names:
        dialect = attrs.evolve(dialect, max_tokens_field=_other(dialect.max_tokens_field))
    if "usage" in names:
        dialect = attrs.evolve(dialect, usage=False, continuous_usage=False)
    return dialect


def _asked_for(name: str, reason: str) -> EngineError:
    return EngineError(
        f"the server refuses {name}, which the engine's options ask for: {reason}",
        hint=f"remove {name} from the engine's options",
    )
