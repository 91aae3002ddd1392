"""Level 2: codecs. Requests say what was asked; responses are read byte for byte alike."""

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
from tokenbench.load.framing import READERS
from tokenbench.testing.kit import Subject, check, fail, skip
from tokenbench.testing.samples.prompts import PROMPTS

_SECRET = "kit-key-that-nobody-may-send"  # noqa: S105 - a decoy
_KEYS = ("OPENAI_API_KEY", "API_KEY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "TOKENBENCH_API_KEY")
_NOT_TEXT = b"\xff\xfe\x00\x80{"
_BROKEN = (b"", b"{", b'{"choices": [', b'"text"', b"[]", b"null", b"17", b'{"choices": 3}')
_PATH = re.compile(r"/[!-~]*")
_PLAIN = Target(model="kit", dialect=Dialect(usage=False))
# What an OpenAI-like server may not know: it is sent only where the dialect claims it.
_UNCLAIMED = (b"ignore_eos", b"min_tokens", b"stream_options", b'"seed"')


def _codec(subject: Subject) -> Codec:
    made: Codec = subject.spec.factory()
    return made


def _dialect(**facts: Any) -> Target:
    return Target(model="kit", dialect=Dialect(token_id_prompts=True, **facts))


_TARGETS = (
    _PLAIN,
    _dialect(),
    _dialect(ignore_eos=True, min_tokens=True, seed=True, continuous_usage=True),
)


def _encode(codec: Codec, turn: Turn, target: Target) -> HttpRequest | None:
    """The request; None where the turn cannot be said in this format, with whatever exception:
    `some_prompt_is_supported` refuses all but UsageError.
    """
    try:
        return codec.encode(turn, target)
    except Exception:
        return None


def _prompt(subject: Subject) -> Prompt:
    """The first sample prompt that the format can carry."""
    codec, target = _codec(subject), _TARGETS[1]
    sent = [p for p in PROMPTS if _encode(codec, Turn(prompt=p, max_tokens=8), target)]
    return sent[0] if sent else skip("it carries none of the kit's prompts")


def _request(subject: Subject, turn: Turn, target: Target = _TARGETS[1]) -> HttpRequest:
    found = _encode(_codec(subject), turn, target)
    return found if found is not None else skip("it cannot carry the kit's turn")


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
    """`Codec.name` equals the spec's name: dialects and evals refer to it by that.

    To fix: set `name` in the class.
    """
    name = getattr(_codec(subject), "name", None)
    if name != subject.spec.name:
        fail(f"the spec is called {subject.spec.name!r}, its codec {name!r}")


@check(2, "codec")
def framing_is_known(subject: Subject) -> None:
    """`framing` is ``sse``, ``lines`` or ``body``.

    To fix: choose the one that cuts your server's responses into events.
    """
    if (framing := _codec(subject).framing) not in READERS:
        fail(f"framing {framing!r}, expected one of {', '.join(READERS)}")


@check(2, "codec")
def some_prompt_is_supported(subject: Subject) -> None:
    """Text, messages or token ids: at least one is encoded, the others raise UsageError.

    To fix: look at the type of ``turn.prompt``, and raise UsageError for those not served.
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
        fail("it takes neither text nor messages nor token ids")


@check(2, "codec")
def requests_have_a_path(subject: Subject) -> None:
    """`path` begins with a slash and holds no space; `body` is bytes.

    To fix: ``HttpRequest(path="/generate", body=msgspec.json.encode(body))``.
    """
    for _, _, request in _requests(subject):
        if not _PATH.fullmatch(request.path):
            fail(f"path {request.path!r}")
        if not isinstance(request.body, bytes):
            fail(f"the body is a {type(request.body).__name__}")


@check(2, "codec")
def encoding_is_pure(subject: Subject) -> None:
    """The same turn for the same target gives the same request, also from another instance.

    To fix: no counters, clocks or random ids in a request.
    """
    for turn, target, request in _requests(subject):
        if request != _encode(_codec(subject), turn, target):
            fail("the same turn gives another request")


@check(2, "codec")
def requests_carry_no_secret(subject: Subject) -> None:
    """No key from the environment is in a request: authorisation is the core's, and requests are
    stored.

    To fix: take it out; core sends the key that the launch plan names.
    """
    with _keys():
        found = [request for _, _, request in _requests(subject)]
    if any(_SECRET.encode() in one.body or _SECRET in one.path for one in found):
        fail("a request holds the value of a key in the environment")


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
    """Two prompts give two requests.

    To fix: encode the whole prompt.
    """
    first, second = (
        _encode(_codec(subject), Turn(prompt=TextPrompt(text), max_tokens=8), _TARGETS[1])
        for text in ("One river.", "One rivet.")
    )
    if first is None:
        skip("it takes no text")
    if first == second:
        fail("two prompts give the same request")


@check(2, "codec")
def token_limit_is_sent(subject: Subject) -> None:
    """Two values of `max_tokens` give two requests: answers must not be longer than asked.

    To fix: send it in the field that the server knows (``dialect.max_tokens_field``).
    """
    turn = Turn(prompt=_prompt(subject), max_tokens=8)
    if _request(subject, turn) == _request(subject, attrs.evolve(turn, max_tokens=9)):
        fail("max_tokens does not reach the server")


@check(2, "codec")
def extra_fields_are_sent(subject: Subject) -> None:
    """`extra_body` of the dialect and of the turn change the request, or are refused: a switch that
    is dropped in silence makes another measurement.

    To fix: ``body.update(target.dialect.extra_body); body.update(turn.extra_body)``.
    """
    extra: FrozenMap[str | int | float | bool | None] = FrozenMap(kit_field=7)
    turn = Turn(prompt=_prompt(subject), max_tokens=8)
    plain = _request(subject, turn)
    target = _TARGETS[1]
    dialect = attrs.evolve(target.dialect, extra_body=extra)
    if _encode(_codec(subject), turn, attrs.evolve(target, dialect=dialect)) == plain:
        fail("the dialect's extra_body does not reach the server")
    if _encode(_codec(subject), attrs.evolve(turn, extra_body=extra), target) == plain:
        fail("the turn's extra_body does not reach the server")


@check(2, "codec")
def unclaimed_fields_are_not_sent(subject: Subject) -> None:
    """A dialect that claims nothing gets no `ignore_eos`, `min_tokens`, `stream_options`, `seed`:
    some servers fail what they do not know.

    To fix: send each only where the dialect says so.
    """
    for _, target, request in _requests(subject):
        if target is _PLAIN and (found := [f for f in _UNCLAIMED if f in request.body]):
            fail(f"{found[0].decode()} is sent to a server that does not claim it")


def _events(subject: Subject) -> list[bytes]:
    """The author's stream, cut by the codec's framing."""
    stream: bytes = subject.want("stream", "a response as the server sent it")
    framing = _codec(subject).framing
    if framing not in READERS:
        skip("its framing is not known")
    reader = READERS[framing]()
    return [*reader.feed(stream), *reader.finish()]


def _classified(subject: Subject) -> list[StreamEvent]:
    codec = _codec(subject)
    return [codec.classify(event) for event in _events(subject)]


@check(2, "codec")
def stream_text_is_decoded(subject: Subject) -> None:
    """The events of the author's `stream` together say its `text`.

    To fix: `text` of each event is what it adds, not all that was said so far.
    """
    text = subject.want("text", "what the stream says")
    found = "".join(event.text for event in _classified(subject))
    if found != text:
        fail(f"the stream says {found!r}, its author {text!r}")


@check(2, "codec")
def stream_tokens_are_counted(subject: Subject) -> None:
    """Usage (`n_out`) and the sum of `n_tokens`, where they are given, are the author's `tokens`;
    where neither is, at least one and at most so many events are tokens.

    To fix: `n_out` is cumulative, `n_tokens` is the event's own.
    """
    tokens = subject.want("tokens", "how many tokens the stream holds")
    events = _classified(subject)
    usage = [event.n_out for event in events if event.n_out is not None]
    counts = [event.n_tokens for event in events if event.n_tokens is not None]
    if usage and usage[-1] != tokens:
        fail(f"n_out ends at {usage[-1]}, expected {tokens}")
    if counts and sum(counts) != tokens:
        fail(f"n_tokens sums to {sum(counts)}, expected {tokens}")
    if not usage and not counts and not 1 <= sum(event.token for event in events) <= tokens:
        fail(f"{sum(event.token for event in events)} events are tokens, of {tokens}")


@check(2, "codec")
def text_events_are_tokens(subject: Subject) -> None:
    """An event with text, or with `n_tokens`, has `token` set: the time of a token is its time.

    To fix: ``StreamEvent(token=bool(text), text=text)``.
    """
    for event in _classified(subject):
        if not event.token and (event.text or event.n_tokens):
            fail(f"no token, though it says {event.text!r} (n_tokens {event.n_tokens})")


@check(2, "codec")
def done_ends_the_stream(subject: Subject) -> None:
    """`done` comes after the last token, and with `ends_with_done` it does come: a stream without
    it counts as cut.

    To fix: set `done` on the server's last event, or ``ends_with_done = False``.
    """
    events = _classified(subject)
    done = [number for number, event in enumerate(events) if event.done]
    last = max((number for number, event in enumerate(events) if event.token), default=-1)
    if done and done[0] < last:
        fail(f"event {done[0]} is done, event {last} is a token")
    if not done and _codec(subject).ends_with_done:
        fail("ends_with_done, but no event of the stream is done")


@check(2, "codec")
def stream_has_no_error(subject: Subject) -> None:
    """The author's `stream` is of a request that went well: no event of it is an error.

    To fix: set `error` only where the server reports one.
    """
    for event in _classified(subject):
        if event.error is not None:
            fail(f"a sound stream holds the error {event.error!r}")


@check(2, "codec")
def classifying_is_pure(subject: Subject) -> None:
    """The same bytes mean the same in any order: one codec reads all streams at once.

    To fix: keep nothing between calls.
    """
    events = _events(subject)
    codec = _codec(subject)
    forward = [codec.classify(event) for event in events]
    backward = [codec.classify(event) for event in events[::-1]][::-1]
    if forward != backward:
        fail("the same events mean something else in another order")


def _tried(codec: Codec, event: bytes) -> StreamEvent | None:
    try:
        return codec.classify(event)
    except ValueError:
        return None
    except Exception as error:
        fail(f"{event[:40]!r} raises {type(error).__name__}, which is no ValueError: {error}")


@check(2, "codec")
def invalid_bytes_raise_value_error(subject: Subject) -> None:
    """Bytes that are no text in UTF-8 raise ValueError: a broken response is no short one.

    To fix: let the decoder's error through (``UnicodeDecodeError`` is a ValueError).
    """
    try:
        found = _codec(subject).classify(_NOT_TEXT)
    except ValueError:
        return
    except Exception:
        skip("it raises something else: see malformed-events-raise-only-value-error")
    fail(f"garbage is read as {found!r}")


@check(2, "codec")
def malformed_events_raise_only_value_error(subject: Subject) -> None:
    """Events of another shape, and cut ones, raise ValueError or mean something; no other exception
    reaches the load worker.

    To fix: look at types before you index, or decode into a typed structure (msgspec).
    """
    codec = _codec(subject)
    for event in (*_BROKEN, _NOT_TEXT):
        _tried(codec, event)
    if subject.data.get("stream"):
        for event in _events(subject):
            for cut in {1, len(event) // 2, max(len(event) - 1, 0)}:
                _tried(codec, event[:cut])
