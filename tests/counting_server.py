"""A server that counts prompts with a tokenizer that only it knows."""

from __future__ import annotations

import itertools
import json
import random
import threading
import zlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TEMPLATE_TOKENS, START_TOKENS = 17, 1


def pieces(word: str) -> int:
    """Tokens of a word: one for each three letters, one more for some words."""
    return (len(word) + 2) // 3 + (zlib.crc32(word.encode()) % 4 == 0)


def by_pieces(text: str) -> int:
    """About 2.1 tokens a word."""
    return sum(map(pieces, text.split()))


def one_each(text: str) -> int:
    """Each word is one token, but words with z, q, v or k are two."""
    return sum(1 + bool(set("zqvk") & set(word)) for word in text.split())


def first_differs(text: str) -> int:
    """As :func:`by_pieces`; some words have another token if no space is before them."""
    first = text.split(maxsplit=1)[0]
    return by_pieces(text) + (zlib.crc32(first.encode()) % 3 == 0)


def merging(text: str) -> int:
    """Some neighbours are one token together."""
    words = text.split()
    pairs = itertools.pairwise(words)
    return len(words) - sum(zlib.crc32(f"{a} {b}".encode()) % 9 == 0 for a, b in pairs)


def at_random(text: str) -> int:
    """Unrelated to the text."""
    return random.randint(1, 4000)


class CountingServer:
    """Use as a context manager. `tokenize`: ``prompt`` or ``content``, the field its endpoint
    takes, or None. `fails`: numbers of requests that get status 503. `requests` are the texts.
    """

    def __init__(
        self,
        count: Callable[[str], int],
        *,
        tokenize: str | None = None,
        usage: bool = True,
        fails: range = range(0),
    ) -> None:
        self.count = count
        self.tokenize = tokenize
        self.usage = usage
        self.fails = fails
        self.requests: list[str] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                _send(self, 200, "{}")

            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                owner.answer(self, json.loads(self.rfile.read(length)))

            def log_message(self, *args: object) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> CountingServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, http: BaseHTTPRequestHandler, asked: dict[str, object]) -> None:
        """One response."""
        if http.path == "/tokenize":
            self._tokenize(http, asked)
            return
        chat = http.path.endswith("/chat/completions")
        text = asked["messages"][0]["content"] if chat else asked["prompt"]  # type: ignore[index]
        self.requests.append(text)
        if len(self.requests) in self.fails:
            _send(http, 503, "overloaded")
            return
        tokens = self.count(text) + START_TOKENS + TEMPLATE_TOKENS * chat
        part = {"delta": {"content": "x "}} if chat else {"text": "x "}
        ends = [None] * (int(str(asked["max_tokens"])) - 1) + ["length"]
        events: list[object] = [
            {"choices": [{"index": 0, "finish_reason": end, **part}]} for end in ends
        ]
        if self.usage:
            usage = {"prompt_tokens": tokens, "completion_tokens": asked["max_tokens"]}
            events.append({"choices": [], "usage": usage})
        lines = [f"data: {json.dumps(event)}\n\n" for event in events]
        _send(http, 200, "".join(lines) + "data: [DONE]\n\n")

    def _tokenize(self, http: BaseHTTPRequestHandler, asked: dict[str, object]) -> None:
        if self.tokenize is None:
            _send(http, 404, "{}")
        elif self.tokenize in asked:
            ids = list(range(self.count(str(asked[self.tokenize]))))
            _send(http, 200, json.dumps({"tokens": ids, "count": len(ids)}))
        else:  # As llama.cpp answers.
            _send(http, 200, json.dumps({"tokens": []}))


def _send(http: BaseHTTPRequestHandler, status: int, text: str) -> None:
    body = text.encode()
    http.send_response(status)
    http.send_header("content-length", str(len(body)))
    http.end_headers()
    http.wfile.write(body)
