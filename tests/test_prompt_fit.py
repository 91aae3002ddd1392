"""Prompts of exact length for servers whose tokenizer is unknown, over real HTTP."""

from __future__ import annotations

import itertools
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
from counting_server import (
    START_TOKENS,
    TEMPLATE_TOKENS,
    CountingServer,
    at_random,
    by_pieces,
    first_differs,
    merging,
    one_each,
)
from tokenbench_workload_random.plugin import RandomOptions, bench_register_workloads

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    Dialect,
    Endpoint,
    FittedWords,
    FrozenMap,
    Interrupted,
    PluginContext,
    Target,
    Turn,
    UsageError,
)
from tokenbench.launch.control import ControlClient
from tokenbench.load.codecs import find_codec
from tokenbench.load.generate import Generated, generate
from tokenbench.run import prompt_fit
from tokenbench.run.prompt_fit import Fitting
from tokenbench.run.prompts import Traffic, traffic
from tokenbench.run.words import WORDS

TURN = dict[str, Any]


def _send(server: CountingServer, codec: str, turn: Turn) -> Generated:
    target = Target(model="m", dialect=Dialect(codecs=(codec,)))
    return generate(server.url, find_codec(codec, None), turn, target, None, timeout_s=20.0)


def _traffic(
    server: CountingServer,
    codec: str,
    *,
    approximate: bool = False,
    interrupted: Callable[[], bool] = lambda: False,
    **options: object,
) -> Traffic:
    control = ControlClient((Endpoint(role="server", index=0, url=server.url),))
    (spec,) = bench_register_workloads()
    fitting = Fitting(
        send=lambda name, turn: _send(server, name, turn),
        post=control.post,
        model="m",
        approximate=approximate,
        interrupted=interrupted,
    )
    try:
        return traffic(
            spec.factory(RandomOptions(output_tokens=1, **options), PluginContext()),
            Dialect(codecs=(codec,)),
            None,
            None,
            fitting,
        )
    finally:
        control.close()


def _turns(made: Traffic, count: int, seed: int = 9) -> list[Turn]:
    return [session.next(None) for session in made.sessions(seed, count)]  # type: ignore[misc]


def test_the_test_tokenizer_has_two_tokens_a_word() -> None:
    """As the tokenizers that make prompts twice as long as asked."""
    assert statistics.mean(map(by_pieces, WORDS)) == pytest.approx(2.1, abs=0.05)


@pytest.mark.parametrize("codec", [CHAT, COMPLETIONS])
@pytest.mark.parametrize("tokenize", ["prompt", "content", None])
@pytest.mark.parametrize("count", [by_pieces, one_each, first_differs])
def test_prompts_have_the_asked_length(
    count: Callable[[str], int], tokenize: str | None, codec: str
) -> None:
    """Usage is exactly the asked length plus the reported overhead, from 64 to 4,000 tokens."""
    for length in (64, 1024, 4000) if count is by_pieces else (1024,):
        with CountingServer(count, tokenize=tokenize) as server:
            made = _traffic(server, codec, input_tokens=length)
            fitted = made.context.fitted
            assert fitted is not None
            turns = _turns(made, 5)
            usage = [_send(server, codec, turn).n_in for turn in turns]
        assert {turn.n_in for turn in turns} == {length}
        assert usage == [length + fitted.overhead] * 5
        assert fitted.error == 0
        assert fitted.source == ("probes" if tokenize is None else "tokenize endpoint")
        if count is not first_differs:
            assert fitted.overhead == START_TOKENS + (TEMPLATE_TOKENS if codec == CHAT else 0)


def test_few_requests_are_needed() -> None:
    """About 20 if most words are one token; bounded otherwise."""
    for count, limit in ((lambda text: len(text.split()), 24), (by_pieces, 100)):
        with CountingServer(count) as server:
            _traffic(server, CHAT, input_tokens=256)
            assert len(server.requests) <= limit


def test_lengths_in_a_range_and_with_a_prefix_are_exact() -> None:
    """Each prompt has its own length; the prefix counts towards it."""
    with CountingServer(by_pieces) as server:
        made = _traffic(server, CHAT, input_tokens=90, input_range=0.2, prefix_tokens=10)
    turns = _turns(made, 50)
    texts = [turn.prompt.messages[0].content for turn in turns]  # type: ignore[union-attr]
    assert [by_pieces(text) for text in texts] == [turn.n_in for turn in turns]
    assert len({turn.n_in for turn in turns}) > 20
    assert len({text.split()[0] for text in texts}) == 1


def test_words_that_merge_are_fitted_by_their_mean() -> None:
    """Within 2 %, although no word has a token count of its own."""
    with CountingServer(merging) as server:
        made = _traffic(server, COMPLETIONS, input_tokens=2000)
        fitted = made.context.fitted
        assert fitted is not None and 0 < fitted.error <= 0.02
        found = [merging(turn.prompt.text) for turn in _turns(made, 10)]  # type: ignore[union-attr]
    assert statistics.mean(found) + START_TOKENS == pytest.approx(2000 + fitted.overhead, rel=0.02)


@pytest.mark.parametrize("tokenize", ["prompt", None])
def test_counts_that_do_not_follow_the_text_are_refused(tokenize: str | None) -> None:
    """With a hint; who accepts approximate lengths gets prompts, which are known to be off."""
    with CountingServer(at_random, tokenize=tokenize) as server:
        with pytest.raises(UsageError, match="could not fit prompts") as caught:
            _traffic(server, CHAT, input_tokens=512)
        assert "openai:tokenizer=DIR" in (caught.value.hint or "")
        assert "--lengths approximate" in (caught.value.hint or "")
        made = _traffic(server, CHAT, input_tokens=512, approximate=True)
        assert made.context.fitted is None or made.context.fitted.error > 0.02
        assert _turns(made, 1)[0].n_in == 512


def test_a_tokenize_endpoint_that_lies_is_not_used() -> None:
    """Usage decides; the words are then measured with requests."""
    with CountingServer(by_pieces, tokenize="prompt") as server:
        usage = server.count

        def lie(http: Any, asked: TURN) -> None:
            server.count = one_each
            CountingServer._tokenize(server, http, asked)
            server.count = usage

        server._tokenize = lie  # type: ignore[method-assign]
        made = _traffic(server, CHAT, input_tokens=300)
        fitted = made.context.fitted
        assert fitted is not None and (fitted.source, fitted.error) == ("probes", 0)


def test_a_server_without_usage_is_refused() -> None:
    """Nothing says how long its prompts are."""
    with (
        CountingServer(by_pieces, usage=False) as server,
        pytest.raises(UsageError, match="no prompt tokens in its usage"),
    ):
        _traffic(server, CHAT, input_tokens=64)


def test_failed_requests_are_repeated(monkeypatch) -> None:
    """A server that is overloaded for a moment is fitted all the same; one that fails always is
    measured as it is, so that the failures are reported.
    """
    monkeypatch.setattr(prompt_fit, "_RETRY_S", 0.01)
    with CountingServer(one_each, fails=range(3, 5)) as server:
        assert _traffic(server, CHAT, input_tokens=64).context.fitted is not None
    with CountingServer(one_each, fails=range(1, 10**6)) as server:
        assert _traffic(server, CHAT, input_tokens=64).context.fitted is None
        assert len(server.requests) <= 5


def test_a_slow_server_is_not_asked_for_long(monkeypatch) -> None:
    """After the time limit, no more words are measured."""
    monkeypatch.setattr(prompt_fit, "_MAX_S", 1.0)
    begun = time.monotonic()
    slow = CountingServer(lambda text: time.sleep(0.08) or by_pieces(text))  # type: ignore[func-returns-value]
    with slow, pytest.raises(UsageError, match="took more than 150 requests or 1 s"):
        _traffic(slow, CHAT, input_tokens=64)
    assert time.monotonic() - begun < 10


def test_fitting_can_be_interrupted() -> None:
    """Before the next request."""
    with CountingServer(by_pieces) as server, pytest.raises(Interrupted):
        _traffic(server, CHAT, input_tokens=64, interrupted=lambda: len(server.requests) > 4)
    assert len(server.requests) == 5


@pytest.fixture(scope="module")
def fitted() -> FittedWords:
    """Measured on the server with 2.1 tokens a word."""
    with CountingServer(by_pieces) as server:
        found = _traffic(server, CHAT, input_tokens=64).context.fitted
    assert found is not None
    return found


def test_texts_are_unique_and_share_no_prefix(fitted: FittedWords) -> None:
    """By seed: the same seed gives the same texts, another one gives others."""

    def texts(seed: int) -> list[str]:
        draw = random.Random(seed)
        return [fitted.text(draw, 64) for _ in range(2000)]

    one, other = texts(1), texts(2)
    assert one == texts(1)
    assert len({tuple(text.split()[:8]) for text in (*one, *other)}) == 4000


def test_every_length_is_exact_where_it_is_possible(fitted: FittedWords) -> None:
    """From one token on; sizes that cannot make a sum give the next shorter text."""
    draw = random.Random(0)
    for tokens in itertools.chain(range(1, 200), (1023, 8191)):
        assert by_pieces(fitted.text(draw, tokens)) == tokens
    even = FittedWords(
        words=FrozenMap({"two": 2, "four": 4}), starts=("two",), overhead=0, source="probes"
    )
    found = [sum(map(even.words.__getitem__, even.text(draw, n).split())) for n in (1, 7, 8, 101)]
    assert found == [2, 6, 8, 100]


@pytest.mark.serial
def test_a_thousand_prompts_of_1024_tokens_take_less_than_two_seconds(
    fitted: FittedWords,
) -> None:
    """On one core, so that prompts are ready before they are needed."""
    draw = random.Random(0)
    begun = time.process_time()
    for _ in range(1000):
        fitted.text(draw, 1024)
    assert time.process_time() - begun < 2.0
