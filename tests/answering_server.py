"""A server of the OpenAI protocol whose answers a test knows: for evals and canaries.

It answers the canaries as a sound model does, unless it has a `wreck`; all other questions as
`answer` says. It can fail in the middle.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs

from tokenbench.run.canary_rules import LONG, SHORT

WRECKS = (
    *("empty", "repeated", "truncated", "cut short", "foreign template", "deaf template", "echo"),
    *("endless", "endless marks", "positive logprobs", "wrong top logprobs", "other model"),
)
_LONG = (
    "First the farmer sows the seed, and in summer the ears are cut and threshed. The mill turns "
    "grain into flour; water, yeast and a little salt make dough, which rests until it has risen. "
    "Then it is shaped, rests again, and goes into the hot oven until its crust is brown."
)
_CANARIES = dict(
    zip(
        (*SHORT, *LONG),
        (
            *("The capital of France is Paris.", "5", "Hello! How can I help you today?"),
            *(_LONG, f"Once there was a keeper of a light. {_LONG}"),
            f"1. Norway: fjords and mountains. 2. Peru: old cities. {_LONG}",
        ),
        strict=True,
    )
)


@attrs.frozen
class Said:
    """What the server says to a question. `finish` is ``length`` for a truncated answer."""

    text: str
    finish: str = "stop"
    reasoning: str = ""
    calls: tuple[tuple[str, str], ...] = ()


class AnsweringServer:
    """Use as a context manager. `answer` maps the last message to an answer.

    Args:
        busy: numbers of questions (from 1; canaries and requests of one token do not count) that
            get status 429 the first time.
        refused: those that get status 400, always.
        dies_at: with this question it closes its socket, and answers nothing any more.
        hangs_at: from this question on it sends nothing.
        wreck: one of `WRECKS`.
    """

    def __init__(
        self,
        answer: Callable[[str], Said | str],
        *,
        busy: frozenset[int] = frozenset(),
        refused: Callable[[str], bool] = lambda _: False,
        dies_at: int | None = None,
        hangs_at: int | None = None,
        wreck: str | None = None,
        model: str = "known",
    ) -> None:
        assert wreck in (None, *WRECKS)
        self.answer, self.busy, self.refused = answer, busy, refused
        self.dies_at, self.hangs_at, self.wreck, self.model = dies_at, hangs_at, wreck, model
        self.questions: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.in_flight = self.most_in_flight = 0
        self.dead = False
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                if owner.dead:
                    owner.drop(self)
                elif self.path == "/v1/models":
                    _send(self, 200, json.dumps({"data": [{"id": owner.model}]}))
                else:
                    _send(self, 200 if self.path == "/health" else 404, "{}")

            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                owner.reply(self, json.loads(self.rfile.read(length)))

            def log_message(self, *args: object) -> None:
                """Silent."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *args: object) -> None:
                """A client that went away."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def engine(self) -> str:
        """The engine of `bench run` for it."""
        return f"openai:base_url={self.url},model=known,probe=false"

    def __enter__(self) -> AnsweringServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.dead = True
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def drop(self, http: BaseHTTPRequestHandler) -> None:
        """Cut the connection."""
        http.close_connection = True
        http.connection.shutdown(socket.SHUT_RDWR)

    def reply(self, http: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        """One response."""
        if self.dead:
            self.drop(http)
            return
        text = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
        canary = _CANARIES.get(text)
        if canary is None and body.get("max_tokens", 0) > 1:
            number = self._number(text, body)
            if number == self.dies_at:
                self.dead = True
                self.drop(http)
                return
            while self.hangs_at is not None and number >= self.hangs_at and not self.dead:
                time.sleep(0.02)
            if number in self.busy:
                _send(http, 429, '{"error": {"message": "slow down"}}', ("retry-after", "0"))
                return
            if self.refused(text):
                _send(http, 400, '{"error": {"message": "refused on purpose"}}')
                return
        with self._lock:
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if body.get("max_tokens", 0) <= 1:
                made: Said | str = Said("yes")
            else:
                made = self.answer(text) if canary is None else self._wrecked(text, canary, body)
            said = made if isinstance(made, Said) else Said(made)
            said = self._limited(said, body)
            if body.get("stream"):
                self._stream(http, text, said)
            else:
                self._whole(http, said, body)
        finally:
            with self._lock:
                self.in_flight -= 1

    def _number(self, text: str, body: dict[str, Any]) -> int:
        with self._lock:
            self.questions.append(text)
            self.bodies.append(body)
            return len(self.questions)

    def _limited(self, said: Said, body: dict[str, Any]) -> Said:
        limit = body.get("max_tokens", 16)
        if self.wreck == "truncated":
            limit = min(limit, 16)
        words = said.text.split(" ")
        if len(words) <= limit or said.finish == "length":
            return said
        return attrs.evolve(said, text=" ".join(words[:limit]), finish="length")

    def _wrecked(self, text: str, sound: str, body: dict[str, Any]) -> Said:
        """The answer to a canary."""
        short = body["max_tokens"] > 48
        many = int(body["max_tokens"])
        made: dict[str, Said] = {
            "empty": Said(""),
            "repeated": Said("! " * many, finish="length"),
            "cut short": Said(" ".join(sound.split(" ")[:5]) if not short else sound),
            "foreign template": Said(f"<|im_start|>assistant\n{sound}<|im_end|>"),
            "echo": Said(f"{text}\n{sound}"),
            "endless": Said(f"{sound} {_LONG} {_LONG.lower()}" if short else sound),
            "endless marks": Said(f"{sound}</s> And then {sound}" if short else sound),
        }
        return made.get(self.wreck or "", Said(sound))

    def _events(self, text: str, said: Said) -> Iterator[dict[str, Any]]:
        name = "another-model-7b" if self.wreck == "other model" else "known"
        head = {"id": "x", "object": "chat.completion.chunk", "model": name}

        def choice(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
            return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}

        yield choice({"role": "assistant", "content": ""})
        if said.reasoning:
            yield choice({"reasoning_content": said.reasoning})
        if said.text:
            yield choice({"content": said.text})
        for index, (function, arguments) in enumerate(said.calls):
            half = len(arguments) // 2
            call = {"index": index, "function": {"name": function, "arguments": arguments[:half]}}
            yield choice({"tool_calls": [call]})
            rest = {"index": index, "function": {"arguments": arguments[half:]}}
            yield choice({"tool_calls": [rest]})
        yield choice({}, "tool_calls" if said.calls else said.finish)
        prompt = 20 if self.wreck == "deaf template" else 20 + len(text.split())
        count = len(said.text.split()) + len(said.reasoning.split()) + len(said.calls)
        usage = {"prompt_tokens": prompt, "completion_tokens": max(1, count)}
        yield {**head, "choices": [], "usage": usage}

    def _stream(self, http: BaseHTTPRequestHandler, text: str, said: Said) -> None:
        lines = [f"data: {json.dumps(event)}\n\n" for event in self._events(text, said)]
        _send(http, 200, "".join(lines) + "data: [DONE]\n\n", ("content-type", "text/event-stream"))

    def _whole(self, http: BaseHTTPRequestHandler, said: Said, body: dict[str, Any]) -> None:
        message = {"role": "assistant", "content": said.text}
        made: dict[str, Any] = {"index": 0, "finish_reason": said.finish, "message": message}
        if body.get("logprobs"):
            wrong = self.wreck == "wrong top logprobs"
            first = 0.7 if self.wreck == "positive logprobs" else -0.25
            values = [first - number / 8 for number in range(len(said.text.split()[:8]))]
            tops = [-3.0 if wrong else value for value in values]
            made["logprobs"] = {
                "content": [
                    {"token": "x", "logprob": value, "top_logprobs": [{"logprob": top}]}
                    for value, top in zip(values, tops, strict=True)
                ]
            }
        _send(http, 200, json.dumps({"model": self.model, "choices": [made]}))


def _send(http: BaseHTTPRequestHandler, status: int, text: str, *headers: tuple[str, str]) -> None:
    data = text.encode()
    http.send_response(status)
    for name, value in headers:
        http.send_header(name, value)
    http.send_header("content-length", str(len(data)))
    http.end_headers()
    http.wfile.write(data)
