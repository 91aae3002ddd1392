"""What a server takes, found out with few requests: all combinations of what it may refuse."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    Dialect,
    EngineError,
    FrozenMap,
    Negotiation,
    Reply,
    Target,
    Turn,
)
from tokenbench.load.codecs import find_codec
from tokenbench.load.generate import Generated
from tokenbench.run.negotiate import Negotiator, plain_prompt

FIELDS = {
    "usage": "stream_options",
    "ignore_eos": "ignore_eos",
    "min_tokens": "min_tokens",
    "seed": "seed",
    "token_id_prompts": "token ids",
}
TRIES = Dialect(
    codecs=(COMPLETIONS, CHAT),
    ignore_eos=True,
    min_tokens=True,
    seed=True,
    token_id_prompts=True,
)


class Server:
    """Refuses some fields, as the real codec encodes them."""

    endpoints = ()

    def __init__(self, *refused: str, status: int = 400, usage: float = 1.0) -> None:
        self.refused, self.status, self.usage = refused, status, usage
        self.sent: list[dict[str, Any]] = []

    def send(self, dialect: Dialect, codec: str, turn: Turn) -> Generated:
        request = find_codec(codec, None).encode(turn, Target(model="m", dialect=dialect))
        body = msgspec.json.decode(request.body)
        self.sent.append(body)
        names = {*body, *(["token ids"] if isinstance(body.get("prompt"), list) else [])}
        bad = sorted(names & set(self.refused))
        error = f"HTTP {self.status}: no {bad[0]}" if bad else None
        reports = self.usage and "stream_options" in body
        n_in = round(len(body.get("prompt", "")) * self.usage) if reports else None
        return Generated(text="", tokens=1, n_in=n_in, n_out=1, error=error)

    def get(self, path: str, *, endpoint: int = 0) -> Reply:
        return Reply(status=404, text="")

    def post(self, path: str, json: object = None, *, endpoint: int = 0) -> Reply:
        return Reply(status=404, text="")


def _found(
    server: Server, tries: Dialect, claims: Dialect | None = None, *firm: str
) -> tuple[Dialect, Negotiator]:
    """As RunningServer does: a plain request until one succeeds, then the rest."""
    claims = claims or Dialect(codecs=tries.codecs, extra_body=tries.extra_body)
    wanted = Negotiation(tries=tries, firm=frozenset(firm), pages=("/version",))
    negotiator = Negotiator(wanted, claims, server.send, server, "m")
    codec = negotiator.dialect.codecs[0]
    turn = Turn(prompt=plain_prompt(codec), max_tokens=1)
    said = server.send(negotiator.dialect, codec, turn)
    if said.error is not None and not negotiator.plainer(said):
        raise EngineError(said.error, hint="the plain request is refused")
    return negotiator.result(), negotiator


@pytest.mark.parametrize("count", range(len(FIELDS) + 1))
def test_every_combination_of_refused_fields(count: int) -> None:
    """Exactly what is refused is not sent, and few requests find it out."""
    for refused in itertools.combinations(FIELDS, count):
        server = Server(*(FIELDS[name] for name in refused))
        dialect, negotiator = _found(server, TRIES)
        for name in FIELDS:
            assert getattr(dialect, name) is (name not in refused), (refused, name)
            assert negotiator.facts[f"takes.{name}"].startswith("no" if name in refused else "yes")
        assert len(server.sent) <= 8
        if not refused:
            assert len(server.sent) == 2
        limits = [{"max_tokens", "max_completion_tokens"} & set(body) for body in server.sent]
        assert all(len(names) == 1 for names in limits)


@pytest.mark.parametrize("usage", [True, False])
def test_the_other_field_for_the_limit(usage: bool) -> None:
    """With and without stream_options; an option decides, and is then blamed."""
    server = Server("max_tokens", *([] if usage else ["stream_options"]))
    dialect, _ = _found(server, TRIES)
    assert (dialect.max_tokens_field, dialect.usage) == ("max_completion_tokens", usage)
    with pytest.raises(EngineError, match="refuses max_tokens_field, which the engine's options"):
        _found(server if usage else Server("max_tokens"), TRIES, None, "max_tokens_field")


@pytest.mark.parametrize("name", ["ignore_eos", "min_tokens", "token_id_prompts", "usage", "extra"])
def test_what_the_user_asked_for_is_named(name: str) -> None:
    """If the server refuses it, whatever the status."""
    body = {"extra": {"a": 1}} if name == "extra" else {}
    server = Server(FIELDS.get(name, name), status=422)
    tries = Dialect(
        codecs=TRIES.codecs,
        ignore_eos=True,
        min_tokens=True,
        token_id_prompts=True,
        extra_body=FrozenMap(body),
    )
    with pytest.raises(EngineError, match=rf"refuses {name}, .*HTTP 422: no"):
        _found(server, tries, tries, name)


@pytest.mark.parametrize("status", [401, 404, 429, 503])
def test_other_failures_decide_nothing(status: int) -> None:
    """A limit or a wrong path in the middle: claims hold, and the record says why."""
    server = Server("ignore_eos", status=status)
    claims = Dialect(codecs=TRIES.codecs, min_tokens=True)
    dialect, negotiator = _found(server, TRIES, claims)
    assert dialect.min_tokens and not dialect.ignore_eos
    assert negotiator.facts["takes.min_tokens"].startswith(f"unknown: HTTP {status}")
    plain = Server("max_tokens", status=status)
    with pytest.raises(EngineError):
        _found(plain, TRIES)
    assert len(plain.sent) == 1


def test_ids_that_do_not_become_as_many_tokens_are_not_taken() -> None:
    """A server may take the list for something else."""
    dialect, negotiator = _found(Server(usage=3.0), TRIES)
    assert not dialect.token_id_prompts
    assert negotiator.facts["takes.token_id_prompts"] == "no: 16 ids became 48 prompt tokens"


def test_usage_that_is_asked_for_and_does_not_come() -> None:
    """The field is accepted, and the record says what that is worth."""
    dialect, negotiator = _found(Server(usage=0.0), TRIES)
    assert dialect.usage and dialect.token_id_prompts
    assert negotiator.facts["takes.usage"] == "yes, but the server reports none"


def test_a_refused_claim_is_told() -> None:
    """The kind of server should take it."""
    dialect, negotiator = _found(Server("min_tokens"), TRIES, TRIES)
    assert not dialect.min_tokens and dialect.ignore_eos
    assert negotiator.notes == [
        "the server refuses min_tokens, which is not sent: HTTP 400: no min_tokens"
    ]
    assert negotiator.facts["page.version"] == "404" and negotiator.facts["page.tokenize"] == "no"
