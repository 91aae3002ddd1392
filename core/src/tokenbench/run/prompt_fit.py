"""Text prompts of exact length for a server whose tokenizer is unknown.

Before the measurement, the tokens of common words are counted on the server: with its tokenize
endpoint, or with the usage of one-token requests. One request counts many words: if n words have n
tokens together, each has one; otherwise each half is counted. Most tokenizers need about 20
requests. Then a few prompts of the workload are sent to verify the fit.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Iterable

import attrs

from tokenbench.api import (
    ChatPrompt,
    FittedWords,
    FrozenMap,
    Interrupted,
    Message,
    Prompt,
    Reply,
    TextPrompt,
    Turn,
    UsageError,
)
from tokenbench.load.generate import Generated

from .tokenize_endpoint import find_tokenize
from .words import WORDS

# Most requests and seconds to measure words, without those to verify the fit.
_MAX_REQUESTS, _MAX_S = 150, 60.0
# After this time, no more than _ENOUGH words are measured.
_LONG_S = 10.0
_ATTEMPTS, _RETRY_S = 3, 1.0
# Words in one request: with 2 tokens per word they fit into the context of small servers.
_GROUP = 64
# Enough words that prompts cannot be predicted (more only if they cost few requests); the fewest.
_ENOUGH, _LEAST = 64, 16
# A word with more tokens is not used.
_LONGEST = 8
_ANCHORS = ("the", "one", "day", "and")
_VERIFIED = 3
# Relative error of a prompt above which the fit is corrected once, and above which it is rejected.
_GOOD, _WORST = 0.01, 0.02
_HINT = (
    "name the model's tokenizer (openai:tokenizer=DIR, or --model NAME), or accept approximate "
    "lengths with --lengths approximate (load.lengths in a suite)"
)

Count = Callable[[str], int]


@attrs.frozen(kw_only=True)
class Fitting:
    """How prompts are fitted to a server.

    `send` sends a turn with the codec of that name. `post` sends a control request, and raises
    ConnectionError. With `approximate`, text that cannot be fitted is not an error.
    """

    send: Callable[[str, Turn], Generated]
    post: Callable[[str, object], Reply]
    model: str
    approximate: bool
    interrupted: Callable[[], bool]


class _CannotFitError(Exception):
    """The message is the reason."""


class _RequestFailedError(Exception):
    """The server fails requests. The measurement reports that, not the fit."""


def fit_prompts(
    fitting: Fitting,
    codec: str,
    *,
    chat: bool,
    sample: Callable[[FittedWords], Iterable[Turn]],
) -> FittedWords | None:
    """Measure words on the server, so that prompts composed from them have the asked lengths.

    Args:
        fitting: how requests are sent.
        codec: name of the codec of the measured requests.
        chat: prompts are messages.
        sample: turns of the workload with fitted words; some are sent, with one output token.

    Returns:
        The words; None if they cannot be fitted and approximate lengths are accepted, or if the
        server fails the requests. Certification then compares its counts with the asked lengths.

    Raises:
        UsageError: the server's counts do not follow the text.
        Interrupted: the user stopped the run.
    """
    best: FittedWords | None = None
    reason = ""
    for measure in (_by_endpoint, _by_probes, _by_ratio):
        server = _Server(fitting, codec, chat=chat)
        try:
            words = measure(server)
            words = None if words is None else _verified(server, words, sample)
        except _RequestFailedError:
            return best
        except _CannotFitError as error:
            reason = reason or str(error)
            continue
        if words is None:
            continue
        if words.error <= _WORST:
            return words
        reason = reason or f"prompts are {words.error:.1%} off after the fit"
        best = words if best is None or words.error < best.error else best
    if fitting.approximate:
        return best
    raise UsageError(f"could not fit prompts to the server's token counts: {reason}", hint=_HINT)


class _Server:
    """Counts tokens on the server, within the limits of requests and time."""

    def __init__(self, fitting: Fitting, codec: str, *, chat: bool) -> None:
        self.fitting = fitting
        self._codec = codec
        self._chat = chat
        self._left = _MAX_REQUESTS
        self._begun = time.monotonic()

    def slow(self) -> bool:
        """Whether measuring has taken longer than `_LONG_S`."""
        return time.monotonic() - self._begun > _LONG_S

    def spent(self) -> bool:
        """Whether no more requests should be sent to measure words."""
        return self._left <= 0 or time.monotonic() - self._begun > _MAX_S

    def limited(self, count: Count) -> Count:
        """`count`, with a check of the limits before each call."""

        def counted(text: str) -> int:
            self.check_limits()
            self._left -= 1
            return count(text)

        return counted

    def check_limits(self) -> None:
        """Raise if no more requests should be sent to measure words."""
        if self.spent():
            raise _CannotFitError(
                f"measuring words took more than {_MAX_REQUESTS} requests or {_MAX_S:g} s"
            )

    def usage(self, text: str) -> int:
        """Prompt tokens of a text by the server's usage, including tokens that the server adds."""
        return self.asked(ChatPrompt((Message("user", text),)) if self._chat else TextPrompt(text))

    def asked(self, prompt: Prompt) -> int:
        """Prompt tokens of a prompt by the server's usage."""
        turn = Turn(prompt=prompt, max_tokens=1)
        for attempt in range(_ATTEMPTS):
            self.check_interrupt()
            if attempt:
                time.sleep(_RETRY_S)
            response = self.fitting.send(self._codec, turn)
            if response.n_in:
                return response.n_in
            if response.error is None:
                raise _CannotFitError("the server reports no prompt tokens in its usage")
            if response.error.startswith(("HTTP 400", "no response")):
                break
        raise _RequestFailedError

    def check_interrupt(self) -> None:
        """Raise Interrupted if the user stopped the run."""
        if self.fitting.interrupted():
            raise Interrupted("interrupted while prompts were fitted", hint="run it again")


# -- ways to measure -----------------------------------------------------------------------------


def _by_endpoint(server: _Server) -> FittedWords | None:
    """With the tokenize endpoint; the tokens that the server adds are found with two requests."""
    fitting = server.fitting
    found = find_tokenize(fitting.post, fitting.model)
    if found is None:
        return None

    def count(text: str) -> int:
        server.check_interrupt()
        tokens = found(text)
        if tokens is None:
            raise _CannotFitError("its tokenize endpoint stopped answering")
        return tokens

    words = _measured(server, server.limited(count), "tokenize endpoint", starts=_GROUP)
    start, names = words.starts[0], list(words.words)
    overheads = {
        server.usage(" ".join(text)) - sum(words.words[word] for word in text)
        for text in ([start, *names[:3]], [start, *names[-40:]])
    }
    if len(overheads) > 1:
        raise _CannotFitError("its usage and its tokenize endpoint do not agree")
    return attrs.evolve(words, overhead=overheads.pop())


def _by_probes(server: _Server) -> FittedWords:
    """With one-token requests."""
    return _measured(server, server.limited(server.usage), "probes", starts=_VERIFIED + 5)


def _by_ratio(server: _Server) -> FittedWords:
    """With the mean tokens per word, for a tokenizer that merges words."""
    words = WORDS[: 2 * _GROUP]
    few, many = len(words) // 4, len(words)
    short, long = (server.usage(" ".join(words[:n])) for n in (few, many))
    mean = (long - short) / (many - few)
    if mean <= 0:
        raise _CannotFitError("longer prompts do not have more tokens")
    return FittedWords(
        words=FrozenMap(dict.fromkeys(words, 1)),
        starts=words,
        overhead=max(0, round(short - few * mean)),
        source="probes",
        scale=1 / mean,
    )


@attrs.frozen
class _Anchor:
    """The word that starts every probe, its tokens, and the tokens that the server adds."""

    word: str
    tokens: int
    overhead: int


def _measured(server: _Server, count: Count, source: str, *, starts: int) -> FittedWords:
    anchor = _anchor(count)
    words = _sizes(server, count, anchor)
    if len(words) < _LEAST:
        server.check_limits()
        raise _CannotFitError("the same word does not always have the same number of tokens")
    # Words with few tokens, so that short prompts are possible.
    tried = sorted(words, key=words.__getitem__)[:starts]
    begun = " ".join([anchor.word] * 2)
    extra = {
        word: count(f"{word} {begun}") - words[word] - 2 * anchor.tokens - anchor.overhead
        for word in tried
    }
    usual = collections.Counter(extra.values()).most_common(1)[0][0]
    return FittedWords(
        words=FrozenMap(words),
        starts=tuple(word for word in tried if extra[word] == usual),
        overhead=anchor.overhead + usual,
        source=source,
    )


def _anchor(count: Count) -> _Anchor:
    """The first word whose tokens do not depend on how often it is repeated."""
    few, many = 4, 20
    for word in _ANCHORS:
        short, long = (count(" ".join([word] * n)) for n in (few, many))
        tokens, rest = divmod(long - short, many - few)
        if rest == 0 and 1 <= tokens <= _LONGEST and short >= few * tokens:
            return _Anchor(word, tokens, short - few * tokens)
    raise _CannotFitError("a word repeated n times does not have n times its tokens")


def _sizes(server: _Server, count: Count, anchor: _Anchor) -> dict[str, int]:
    """The tokens of words, from the sums of groups of words."""
    found: dict[str, int] = {}
    groups = [WORDS[i : i + _GROUP] for i in range(0, len(WORDS), _GROUP)]
    todo: list[tuple[tuple[str, ...], int | None]] = [(group, None) for group in groups[::-1]]

    def total(words: tuple[str, ...]) -> int:
        return count(" ".join((anchor.word, *words))) - anchor.overhead - anchor.tokens

    while todo:
        words, tokens = todo.pop()
        if tokens is None:
            if server.spent() or (server.slow() and len(found) >= _ENOUGH):
                break
            tokens = total(words)
        extra = tokens - len(words)
        if extra == 0:
            found.update(dict.fromkeys(words, 1))
        elif len(words) == 1 and 0 < extra < _LONGEST:
            found[words[0]] = tokens
        elif len(words) > 1 and extra > 0 and _worth_halving(len(words), extra, len(found)):
            if server.spent():
                break
            middle = len(words) // 2
            left = total(words[:middle])
            todo += [(words[middle:], tokens - left), (words[:middle], left)]
    return found


def _worth_halving(words: int, extra: int, found: int) -> bool:
    """True until there are enough words; then only if most words of the group have one token."""
    return found < _ENOUGH or (words > _LONGEST and extra <= words // _LONGEST)


# -- verification --------------------------------------------------------------------------------


def _verified(
    server: _Server, words: FittedWords, sample: Callable[[FittedWords], Iterable[Turn]]
) -> FittedWords:
    """Send prompts of the workload. If their lengths are wrong, correct the fit once."""
    first = _checked(server, words, sample)
    if first.error <= _GOOD:
        return first
    second = _checked(server, attrs.evolve(words, scale=first.scale), sample)
    return min(attrs.evolve(first, scale=words.scale), second, key=lambda fit: fit.error)


def _checked(
    server: _Server, words: FittedWords, sample: Callable[[FittedWords], Iterable[Turn]]
) -> FittedWords:
    """The words with the largest error of the sent prompts. If it is too large, `scale` is
    corrected but not verified.
    """
    pairs = []
    for turn in sample(words):
        if turn.n_in is None:
            continue
        pairs.append((turn.n_in, server.asked(turn.prompt) - words.overhead))
        if len(pairs) == _VERIFIED or server.spent():
            break
    if not pairs:
        raise _CannotFitError("the workload has no prompt of known length")
    error = max(abs(found - wanted) / wanted for wanted, found in pairs)
    scale = words.scale
    total = sum(found for _, found in pairs)
    if error > _GOOD and total > 0:
        scale *= sum(wanted for wanted, _ in pairs) / total
    return attrs.evolve(words, error=error, scale=scale)
