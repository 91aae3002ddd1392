"""A scripted server with the OpenAI protocol: ``python -m tokenbench_testing.server``.

It generates no language: it sends words on a schedule, counts what it sent, and misbehaves on
request. ``POST /lines`` uses another protocol, for tests of codecs. Use a real engine where one can
run; this server is for behaviour that a real engine does not show on request.

======================== ======================================================================
``--ttft-s``             time to the first token
``--itl-s``              time between tokens
``--never-ready``        answers 503 to everything, like a server that is still loading
``--hang-after N``       from request N on, accepts requests and sends nothing
``--die-after N``        exits with code 7 in the middle of request N
``--die-slowly S``       with --die-after: closes its sockets, and exits S seconds later
``--drop-share S``       cuts this fraction of streams after half of their tokens
``--refuse``             answers every generation with HTTP 400
``--reject TEXT``        answers requests whose prompt contains the text with HTTP 400
``--extra-tokens N``     generates N tokens more than requested, or fewer if N is negative
``--miscount F``         its counters report F times the tokens it sent
``--counters vllm``      its counters have the names of vLLM's, instead of names of their own
``--cached-share S``     reports this fraction of each prompt as read from its cache
``--coalesce N``         buffers events, and writes N of them at once
``--tokens-per-chunk N`` puts N tokens into each event
``--no-done``            ends streams without ``[DONE]``
``--jitter F``           varies all times uniformly, by up to this fraction
``--slow-start N:S``     the first N requests wait S seconds more for their first token
``--freeze A:S``         sends nothing for S seconds, A seconds after the first request
``--drift F``            time between tokens grows by this fraction within 20 seconds
``--error-share S``      ends this fraction of streams with an error event
``--status-share S``     answers this fraction of requests with HTTP 503
``--usage-factor F``     its usage reports F times the tokens it sent
``--short-share S``      ends this fraction of responses after half of their tokens, with ``stop``
``--truth FILE``         appends, for each request, what it really sent and when, as JSON lines
======================== ======================================================================
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from typing import Any, NoReturn

from .truth import Truth

_HEAD_LIMIT = 64 * 1024
# Prompt, generated and cached prompt tokens, and requests in flight.
_COUNTERS = {
    "scripted": (
        "scripted_prompt_tokens_total",
        "scripted_generated_tokens_total",
        "scripted_cached_prompt_tokens_total",
        "scripted_running",
    ),
    "vllm": (
        "vllm:prompt_tokens_total",
        "vllm:generation_tokens_total",
        "vllm:prefix_cache_hits_total",
        "vllm:num_requests_running",
    ),
}
_VLLM_LABELS = 'engine="0",model_name="scripted"'
_QUEUE_TIME = "vllm:request_queue_time_seconds"


class ScriptedServer:
    """Serves one script. `requests`, `prompt_tokens` and `generated_tokens` are the true counts."""

    def __init__(self, script: argparse.Namespace) -> None:
        self.script = script
        self.requests = 0
        self.served = 0
        self._long_requests = 0
        self.running = 0
        self.prompt_tokens = 0
        self.generated_tokens = 0
        self.cached_tokens = 0
        self.started: float | None = None

    async def serve(self) -> None:
        """Serve until the process is terminated."""
        server = await asyncio.start_server(self._connection, "127.0.0.1", self.script.port)
        async with server:
            print(f"listening on 127.0.0.1:{self.script.port}", file=sys.stderr, flush=True)
            await server.serve_forever()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read(reader)) is not None:
                await self.respond(*request, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client closed the connection
        finally:
            writer.close()

    async def respond(self, path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        if self.script.never_ready:
            write_plain(writer, 503, "{}")
        elif path == "/lines":
            await self._lines(json.loads(body), writer)
        elif path.startswith("/v1/") and body:
            await self._generate(path, json.loads(body), writer)
        elif path == "/health":
            write_plain(writer, 200, "{}")
        elif path == "/metrics":
            write_plain(writer, 200, self._metrics())
        elif path == "/version":
            write_plain(writer, 200, json.dumps({"version": "scripted 1"}))
        else:
            write_plain(writer, 404, "{}")
        await writer.drain()

    async def _lines(self, request: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        """JSON lines, one per token; the last line has the counts."""
        self.requests += 1
        words, tokens = len(request["text"].split()), request["tokens"]
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.prompt_tokens += words
        for _ in range(tokens):
            await asyncio.sleep(self.script.itl_s)
            _chunked(writer, b'{"word": " word"}\n')
            self.generated_tokens += 1
            await writer.drain()
        _chunked(writer, json.dumps({"in": words, "out": tokens}).encode() + b"\n")
        writer.write(b"0\r\n\r\n")

    def _metrics(self) -> str:
        values = (
            self.prompt_tokens,
            self.generated_tokens * self.script.miscount,
            self.cached_tokens,
            self.running,
        )
        named = dict(zip(_COUNTERS[self.script.counters], values, strict=True))
        if self.script.counters != "vllm":
            return "".join(f"{name} {value}\n" for name, value in named.items())
        named |= {"vllm:num_requests_waiting": 0, "vllm:kv_cache_usage_perc": 0}
        # It never queues.
        named |= {f"{_QUEUE_TIME}_sum": 0, f"{_QUEUE_TIME}_count": self.served}
        lines = [f"{name}{{{_VLLM_LABELS}}} {value}" for name, value in named.items()]
        return f"# TYPE {_QUEUE_TIME} histogram\n" + "\n".join(lines) + "\n"

    async def _generate(
        self, path: str, request: dict[str, Any], writer: asyncio.StreamWriter
    ) -> None:
        script = self.script
        number = self._long_requests
        self.requests += 1
        # Requests of one token do not count for --die-after and other options with a number.
        self._long_requests += request["max_tokens"] > 1
        self.started = self.started or time.monotonic()
        if _drawn(self.requests - 1, 3) < script.status_share:
            write_plain(writer, 503, json.dumps({"error": {"message": "busy by script"}}))
            return
        if script.refuse:
            write_plain(writer, 400, json.dumps({"error": {"message": "refused by script"}}))
            return
        if script.reject is not None and script.reject in _prompt_text(request):
            write_plain(writer, 400, json.dumps({"error": {"message": "rejected by script"}}))
            return
        if script.hang_after is not None and number >= script.hang_after:
            await asyncio.sleep(3600)
        self.running += 1
        try:
            await self._stream(path, request, writer, number)
        finally:
            self.running -= 1

    async def _stream(
        self, path: str, request: dict[str, Any], writer: asyncio.StreamWriter, number: int
    ) -> None:
        script = self.script
        tokens = max(1, request["max_tokens"] + script.extra_tokens)
        n_in = _prompt_tokens(request)
        cached = await self.cached_tokens_of(request, n_in)
        dies = script.die_after is not None and number >= script.die_after
        # The golden ratio spreads the cut streams evenly, whatever the share.
        drops = tokens > 1 and (number * 0.6180339887) % 1.0 < script.drop_share
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        self.prompt_tokens += n_in
        self.cached_tokens += cached
        truth = Truth(number, n_in)
        more_requests, more_s = script.slow_start
        wait_s = script.ttft_s * self._jitter(number, 0)
        await self._sleep(wait_s + (more_s if number < more_requests else 0.0))
        fails = _drawn(number, 2) < script.error_share
        held: list[str] = []
        unsent = 0
        if shortened := _drawn(number, 1) < script.short_share:
            tokens = max(1, tokens // 2)
        for index in range(tokens):
            if index and script.itl_s:
                await self._sleep(script.itl_s * self._jitter(number, index) * self._drift())
            if dies and index >= tokens // 2:
                _die(script.die_slowly)
            if drops and index >= tokens // 2:
                raise ConnectionResetError
            if fails and index >= tokens // 2:
                _fail_stream(writer)
                return
            self.generated_tokens += 1
            last = index + 1 == tokens
            if last or (index + 1) % script.tokens_per_chunk == 0:
                words = index % script.tokens_per_chunk + 1
                unsent += words
                held.append(_chunk(path, " word" * words, None))
            if last or len(held) >= script.coalesce:
                _events(writer, held)
                held.clear()
                await writer.drain()
                truth.sent(unsent)
                unsent = 0
        self._end_stream(path, writer, n_in, cached, tokens, "stop" if shortened else "length")
        await writer.drain()
        if script.truth is not None:
            truth.append_to(script.truth)

    async def cached_tokens_of(self, request: dict[str, Any], n_in: int) -> int:
        """Prompt tokens that come from the cache."""
        return int(n_in * self.script.cached_share)

    def _end_stream(
        self,
        path: str,
        writer: asyncio.StreamWriter,
        n_in: int,
        cached: int,
        tokens: int,
        finish: str,
    ) -> None:
        """The finish reason, the usage, and the end mark."""
        self.served += 1
        _events(writer, [_chunk(path, None, finish)])
        usage = {
            "prompt_tokens": n_in,
            "completion_tokens": round(tokens * self.script.usage_factor),
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        _events(writer, [json.dumps({"choices": [], "usage": usage})])
        if not self.script.no_done:
            _events(writer, ["[DONE]"])
        writer.write(b"0\r\n\r\n")

    def _jitter(self, number: int, index: int) -> float:
        jitter: float = self.script.jitter
        return 1.0 + jitter * (2.0 * _drawn(number, 7 + index) - 1.0)

    def _drift(self) -> float:
        seconds = time.monotonic() - (self.started or 0.0)
        drift: float = self.script.drift
        return 1.0 + drift * min(1.0, seconds / 20.0)

    async def _sleep(self, seconds: float) -> None:
        """Sleep, and until the end of a freeze that is due by then."""
        await asyncio.sleep(seconds)
        after_s, length_s = self.script.freeze
        if length_s and self.started is not None:
            left_s = self.started + after_s + length_s - time.monotonic()
            if 0.0 < left_s < length_s:
                await asyncio.sleep(left_s)


def _drawn(number: int, salt: int) -> float:
    """A number in [0, 1) that depends on the request, spread evenly over requests."""
    return ((number + 1) * 0.6180339887 + salt * 0.7548776662) % 1.0


def _pair(text: str) -> tuple[float, float]:
    first, _, second = text.partition(":")
    return float(first), float(second or 0.0)


def _fail_stream(writer: asyncio.StreamWriter) -> None:
    _events(writer, [json.dumps({"error": {"message": "failed by script"}}), "[DONE]"])
    writer.write(b"0\r\n\r\n")


async def _read(reader: asyncio.StreamReader) -> tuple[str, bytes] | None:
    head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
    if not head or len(head) > _HEAD_LIMIT:
        return None
    lines = head.decode("latin-1").split("\r\n")
    length = 0
    for line in lines[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    return lines[0].split()[1], await reader.readexactly(length)


def _die(after_s: float) -> NoReturn:
    os.closerange(3, 256)
    time.sleep(after_s)
    os._exit(7)


def _prompt_tokens(request: dict[str, Any]) -> int:
    prompt = request.get("prompt")
    if isinstance(prompt, list):
        return len(prompt)
    if isinstance(prompt, str):
        return len(prompt.split())
    return sum(len(message["content"].split()) for message in request["messages"])


def _prompt_text(request: dict[str, Any]) -> str:
    prompt = request.get("prompt")
    if prompt is not None:
        return str(prompt)
    return "\n".join(message["content"] for message in request["messages"])


def _chunk(path: str, text: str | None, finish: str | None) -> str:
    if path.endswith("/chat/completions"):
        delta = {} if text is None else {"content": text}
        return json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})
    return json.dumps({"choices": [{"index": 0, "text": text or "", "finish_reason": finish}]})


def _events(writer: asyncio.StreamWriter, events: list[str]) -> None:
    """Write all events at once, like a router or TLS layer may do."""
    if events:
        _chunked(writer, "".join(f"data: {data}\n\n" for data in events).encode())


def _chunked(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))


def write_plain(writer: asyncio.StreamWriter, status: int, text: str) -> None:
    """Write a response that is not a stream."""
    body = text.encode()
    writer.write(
        f"HTTP/1.1 {status} Scripted\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


def parser() -> argparse.ArgumentParser:
    """The command-line options."""
    found = argparse.ArgumentParser(prog="tokenbench_testing.server")
    found.add_argument("--port", type=int, required=True)
    found.add_argument("--ttft-s", type=float, default=0.005)
    found.add_argument("--itl-s", type=float, default=0.002)
    found.add_argument("--never-ready", action="store_true")
    found.add_argument("--hang-after", type=int)
    found.add_argument("--die-after", type=int)
    found.add_argument("--die-slowly", type=float, default=0.0)
    found.add_argument("--drop-share", type=float, default=0.0)
    found.add_argument("--refuse", action="store_true")
    found.add_argument("--reject")
    found.add_argument("--extra-tokens", type=int, default=0)
    found.add_argument("--miscount", type=float, default=1.0)
    found.add_argument("--counters", choices=sorted(_COUNTERS), default="scripted")
    found.add_argument("--cached-share", type=float, default=0.0)
    found.add_argument("--coalesce", type=int, default=1)
    found.add_argument("--tokens-per-chunk", type=int, default=1)
    found.add_argument("--no-done", action="store_true")
    found.add_argument("--jitter", type=float, default=0.0)
    found.add_argument("--slow-start", type=_pair, default=(0.0, 0.0))
    found.add_argument("--freeze", type=_pair, default=(0.0, 0.0))
    found.add_argument("--drift", type=float, default=0.0)
    found.add_argument("--error-share", type=float, default=0.0)
    found.add_argument("--status-share", type=float, default=0.0)
    found.add_argument("--usage-factor", type=float, default=1.0)
    found.add_argument("--short-share", type=float, default=0.0)
    found.add_argument("--truth")
    return found


def main() -> None:
    """Serve the script given on the command line."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    asyncio.run(ScriptedServer(parser().parse_args()).serve())


if __name__ == "__main__":
    main()
