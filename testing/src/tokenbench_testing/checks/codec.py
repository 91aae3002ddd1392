"""Level 2: codecs. Requests contain what the turn asks for; responses are decoded
deterministically.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs

from tokenbench.api import (
    Codec,
    Dialect,
    FrozenMap,
    HttpRequest,
    Prompt,
    StreamEvent,
    Target,
    TextPrompt,
    Turn,
    UsageError,
)
from tokenbench.harness import FRAMINGS
from tokenbench_testing.kit import Subject, check, fail, skip
from tokenbench_testing.samples.prompts import PROMPTS

_SECRET = "kit-key-that-must-not-be-sent"  # noqa: S105 - a decoy
_KEYS = ("OPENAI_API_KEY", "API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "TOKENBENCH_API_KEY")
_NOT_TEXT = b"\xff\xfe\x00\x80{"
_BROKEN = (b"", b"{", b'{"choices": [', b'"text"', b"[]", b"null", b"17", b'{"choices": 3}')
_PATH = re.compile(r"/[!-~]*")
_PLAIN = Target(model="kit", dialect=Dialect(usage=False))
# Fields that an OpenAI-like server may not know: sent only if the dialect claims them.
_UNCLAIMED = (b"ignore_eos", b"min_tokens", b"stream_options", b'"seed"')


def _codec(subject: Subject) -> Codec:
    made: Codec = subject.create()
    return made


def _dialect(**facts: Any) -> Target:
    return Target(model="kit", dialect=Dialect(token_id_prompts=True, **facts))


_TARGETS = (
    _PLAIN,
    _dialect(),
    _dialect(ignore_eos=True, min_tokens=True, seed=True, continuous_usage=True),
)


def _encode(codec: Codec, turn: Turn, target: Target) -> HttpRequest | None:
    """The request; None if encoding fails. `some_prompt_is_supported` fails for any exception but
    UsageError.
    """
    try:
        return codec.encode(turn, target)
    except Exception:
        return None


def _prompt(subject: Subject) -> Prompt:
    """The first sample prompt that the codec supports."""
    codec, target = _codec(subject), _TARGETS[1]
    sent = [p for p in PROMPTS if _encode(codec, Turn(prompt=p, max_tokens=8), target)]
    return sent[0] if sent else skip("it supports none of the kit's prompts")


def _request(subject: Subject, turn: Turn, target: Target = _TARGETS[1]) -> HttpRequest:
    found = _encode(_codec(subject), turn, target)
    return found if found is not None else skip("it cannot encode the kit's turn")


def _requests(subject: Subject) -> Iterator[tuple[Turn, Target, HttpRequest]]:
    codec = _codec(subject)
    for prompt in PROMPTS:
        for exact in (False, True):
            turn = Turn(prompt=prompt, max_tokens=8, exact_output=exact, seed=7)
            for target in _TARGETS:
                found = _encode(codec, turn, target)
                if found is not None:
                    yield turn, target, found


@check(2, "codec")
def codec_name_matches_its_spec(subject: Subject) -> None:
    """`Codec.name` equals the spec's name: dialects and evals refer to the codec by it.

    To fix: set `name` in the class.
    """
    name = getattr(_codec(subject), "name", None)
    if name != subject.spec.name:
        fail(f"the spec is named {subject.spec.name!r}, its codec {name!r}")


@check(2, "codec")
def framing_is_known(subject: Subject) -> None:
    """`framing` is ``sse``, ``lines`` or ``body``.

    To fix: choose the one that cuts your server's responses into events.
    """
    if (framing := _codec(subject).framing) not in FRAMINGS:
        fail(f"framing {framing!r}, expected one of {', '.join(FRAMINGS)}")


@check(2, "codec")
def some_prompt_is_supported(subject: Subject) -> None:
    """At least one of text, messages and token ids is encoded; the others raise UsageError.

    To fix: test the type of ``turn.prompt``, and raise UsageError for unsupported ones.
    """
    sent = 0
    for prompt in PROMPTS:
        try:
            _codec(subject).encode(Turn(prompt=prompt, max_tokens=8), _TARGETS[1])
            sent += 1
        except UsageError:
            continue
        except Exception as error:
            fail(f"{type(prompt).__name__}: raised {type(error).__name__}: {error}")
    if not sent:
        fail("it supports neither text nor messages nor token ids")


@check(2, "codec")
def requests_have_a_path(subject: Subject) -> None:
    """`path` starts with a slash and has no spaces; `body` is bytes.

    To fix: ``HttpRequest(path="/generate", body=msgspec.json.encode(body))``.
    """
    for _, _, request in _requests(subject):
        if not _PATH.fullmatch(request.path):
            fail(f"invalid path {request.path!r}")
        if not isinstance(request.body, bytes):
            fail(f"the body is a {type(request.body).__name__}")


@check(2, "codec")
def encoding_is_pure(subject: Subject) -> None:
    """The same turn and target give the same request, also with another instance.

    To fix: use no counters, clocks or random ids in a request.
    """
    for turn, target, request in _requests(subject):
        if request != _encode(_codec(subject), turn, target):
            fail("the same turn gives a different request")


@check(2, "codec")
def requests_carry_no_secret(subject: Subject) -> None:
    """Requests contain no key from the environment: core authorizes requests, and requests are
    stored.

    To fix: remove it; core sends the key that the launch plan names.
    """
    with _keys():
        found = [request for _, _, request in _requests(subject)]
    if any(_SECRET.encode() in one.body or _SECRET in one.path for one in found):
        fail("a request contains the value of a key from the environment")


@contextmanager
def _keys() -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(dict.fromkeys(_KEYS, _SECRET))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@check(2, "codec")
def prompt_is_sent(subject: Subject) -> None:
    """Different prompts give different requests.

    To fix: encode the whole prompt.
    """
    first, second = (
        _encode(_codec(subject), Turn(prompt=TextPrompt(text), max_tokens=8), _TARGETS[1])
        for text in ("One river.", "One rivet.")
    )
    if first is None:
        skip("it does not support text")
    if first == second:
        fail("two prompts give the same request")


@check(2, "codec")
def token_limit_is_sent(subject: Subject) -> None:
    """Different values of `max_tokens` give different requests: answers must respect the limit.

    To fix: send it in the field that the server knows (``dialect.max_tokens_field``).
    """
    if not _codec(subject).tokens:
        skip("its answers have no tokens")
    turn = Turn(prompt=_prompt(subject), max_tokens=8)
    if _request(subject, turn) == _request(subject, attrs.evolve(turn, max_tokens=9)):
        fail("max_tokens is not in the request")


@check(2, "codec")
def extra_fields_are_sent(subject: Subject) -> None:
    """`extra_body` of the dialect and of the turn change the request, or raise: silently dropping a
    switch changes what is measured.

    To fix: ``body.update(target.dialect.extra_body); body.update(turn.extra_body)``.
    """
    extra: FrozenMap[str | int | float | bool | None] = FrozenMap(kit_field=7)
    turn = Turn(prompt=_prompt(subject), max_tokens=8)
    plain = _request(subject, turn)
    target = _TARGETS[1]
    dialect = attrs.evolve(target.dialect, extra_body=extra)
    if _encode(_codec(subject), turn, attrs.evolve(target, dialect=dialect)) == plain:
        fail("the dialect's extra_body is not in the request")
    if _encode(_codec(subject), attrs.evolve(turn, extra_body=extra), target) == plain:
        fail("the turn's extra_body is not in the request")


@check(2, "codec")
def unclaimed_fields_are_not_sent(subject: Subject) -> None:
    """For a dialect that claims nothing, the request has no `ignore_eos`, `min_tokens`,
    `stream_options` or `seed`: some servers reject unknown fields.

    To fix: send each field only if the dialect claims it.
    """
    for _, target, request in _requests(subject):
        if target is _PLAIN and (found := [f for f in _UNCLAIMED if f in request.body]):
            fail(f"{found[0].decode()} is sent although the dialect does not claim it")


def _events(subject: Subject) -> list[bytes]:
    """The author's stream, cut by the codec's framing."""
    stream: bytes = subject.want("stream", "a response as the server sent it")
    framing = _codec(subject).framing
    if framing not in FRAMINGS:
        skip("its framing is unknown")
    reader = FRAMINGS[framing]()
    return [*reader.feed(stream), *reader.finish()]


def _classified(subject: Subject) -> list[StreamEvent]:
    codec = _codec(subject)
    return [codec.classify(event) for event in _events(subject)]


@check(2, "codec")
def stream_text_is_decoded(subject: Subject) -> None:
    """The events of the author's `stream` contain its `text`.

    To fix: `text` of an event is what it adds, not the whole text so far.
    """
    text = subject.want("text", "the text of the stream")
    found = "".join(event.text for event in _classified(subject))
    if found != text:
        fail(f"decoded text {found!r}, expected {text!r}")


@check(2, "codec")
def stream_tokens_are_counted(subject: Subject) -> None:
    """Usage (`n_out`) and the sum of `n_tokens`, if given, equal the author's `tokens`. Without
    either, the number of token events is between 1 and `tokens`. If the answers have no tokens, an
    event with `token` is the answer.

    To fix: `n_out` is cumulative, `n_tokens` is the number in this event.
    """
    tokens = subject.want("tokens", "the number of tokens in the stream")
    events = _classified(subject)
    if not _codec(subject).tokens:
        if not any(event.token for event in events):
            fail("no event has token set: it would mean the arrival of the answer")
        return
    usage = [event.n_out for event in events if event.n_out is not None]
    counts = [event.n_tokens for event in events if event.n_tokens is not None]
    if usage and usage[-1] != tokens:
        fail(f"the last n_out is {usage[-1]}, expected {tokens}")
    if counts and sum(counts) != tokens:
        fail(f"n_tokens sums to {sum(counts)}, expected {tokens}")
    if not usage and not counts and not 1 <= sum(event.token for event in events) <= tokens:
        fail(f"{sum(event.token for event in events)} token events for {tokens} tokens")


@check(2, "codec")
def text_events_are_tokens(subject: Subject) -> None:
    """An event with text, tool calls or `n_tokens` has `token` set: it defines the token's
    timestamp. `text` starts with `reasoning`.

    To fix: ``StreamEvent(token=bool(text), text=text)``.
    """
    for event in _classified(subject):
        if not event.text.startswith(event.reasoning):
            fail(f"text {event.text!r} does not start with reasoning {event.reasoning!r}")
        if not event.token and (event.text or event.tool_calls or event.n_tokens):
            fail(f"token is not set for text {event.text!r}, n_tokens {event.n_tokens}")


@check(2, "codec")
def done_ends_the_stream(subject: Subject) -> None:
    """`done` follows the last token. With `ends_with_done` it must occur: a stream without it
    counts as incomplete.

    To fix: set `done` on the server's last event, or ``ends_with_done = False``.
    """
    events = _classified(subject)
    done = [number for number, event in enumerate(events) if event.done]
    last = max((number for number, event in enumerate(events) if event.token), default=-1)
    if done and done[0] < last:
        fail(f"event {done[0]} has done, event {last} has a token")
    if not done and _codec(subject).ends_with_done:
        fail("ends_with_done is set, but no event of the stream has done")


@check(2, "codec")
def stream_has_no_error(subject: Subject) -> None:
    """The author's `stream` is a successful response: no event is an error.

    To fix: set `error` only if the server reports one.
    """
    for event in _classified(subject):
        if event.error is not None:
            fail(f"a successful stream has the error {event.error!r}")


@check(2, "codec")
def classifying_is_pure(subject: Subject) -> None:
    """The same bytes have the same meaning in any order: one codec decodes all streams.

    To fix: keep no state between calls.
    """
    events = _events(subject)
    codec = _codec(subject)
    forward = [codec.classify(event) for event in events]
    backward = [codec.classify(event) for event in events[::-1]][::-1]
    if forward != backward:
        fail("the meaning of events depends on their order")


def _try(codec: Codec, event: bytes) -> None:
    try:
        codec.classify(event)
    except ValueError:
        return
    except Exception as error:
        fail(f"{event[:40]!r} raises {type(error).__name__}, not ValueError: {error}")


@check(2, "codec")
def invalid_bytes_raise_value_error(subject: Subject) -> None:
    """Bytes that are not an event of the protocol raise ValueError: a corrupt response must not
    count as a short one. Invalid UTF-8 inside the text of an event may be replaced.

    To fix: do not catch the decoder's error (``UnicodeDecodeError`` is a ValueError).
    """
    try:
        found = _codec(subject).classify(_NOT_TEXT)
    except ValueError:
        return
    except Exception:
        skip("it raises another exception: see malformed-events-raise-only-value-error")
    fail(f"invalid bytes are decoded as {found!r}")


@check(2, "codec")
def malformed_events_raise_only_value_error(subject: Subject) -> None:
    """Malformed and truncated events are decoded or raise ValueError; no other exception reaches
    the load worker.

    To fix: test types before indexing, or decode into a typed structure (msgspec).
    """
    codec = _codec(subject)
    for event in (*_BROKEN, _NOT_TEXT):
        _try(codec, event)
    if subject.data.get("stream"):
        for event in _events(subject):
            for cut in {1, len(event) // 2, max(len(event) - 1, 0)}:
                _try(codec, event[:cut])
