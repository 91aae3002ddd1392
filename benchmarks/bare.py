"""A minimal Python client, as a lower bound for clients in Python.

Its arguments are those of c/client.c: ``PORT CONCURRENCY MAX_TOKENS WORDS REQUESTS SECONDS
ROWS_FILE``. One asyncio protocol on uvloop, httptools for HTTP, msgspec for the events, one
timestamp per token. Rows are kept in memory and written at the end. It has no schedule, no
sessions, no checks, no error handling and no records on disk.
"""

from __future__ import annotations

import asyncio
import gc
import json
import resource
import struct
import sys
from array import array
from time import monotonic_ns, process_time
from typing import Any

import httptools
import msgspec
import uvloop


class _Choice(msgspec.Struct):
    text: str = ""


class _Event(msgspec.Struct):
    choices: list[_Choice] = []


_decode = msgspec.json.Decoder(_Event).decode
_ROW = struct.Struct("<7q")


class _Run:
    """The state that all connections share."""

    def __init__(self, argv: list[str]) -> None:
        self.port, self.concurrency, self.tokens, words, self.limit = map(int, argv[:5])
        self.until_ns = round(float(argv[5]) * 1e9)
        self.rows: list[tuple[int, ...]] = []
        self.timestamps = array("q")
        self.next_id = self.open = self.failed = 0
        self.over = asyncio.Event()
        self._words = " word" * (words - 1)

    def request(self) -> bytes | None:
        """The next request; None after the last one."""
        number = self.next_id
        over = self.until_ns and monotonic_ns() >= self.until_ns
        if over or (self.limit and number >= self.limit):
            return None
        self.next_id += 1
        body = (
            f'{{"model":"truth","prompt":"#{number:09d}{self._words}","stream":true,'
            f'"temperature":0.0,"max_tokens":{self.tokens},'
            '"stream_options":{"include_usage":true},"ignore_eos":true}'
        )
        return (
            f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            "Accept: text/event-stream\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


class _Connection(asyncio.Protocol):
    """A keep-alive connection with one request at a time."""

    def __init__(self, run: _Run) -> None:
        self.run = run

    def connection_made(self, transport: Any) -> None:
        """Prepare the parser; the load starts once all connections exist."""
        self.transport = transport
        self.parser = httptools.HttpResponseParser(self)
        self.events: list[bytes] = []

    def send(self) -> None:
        """Send the next request."""
        request = self.run.request()
        if request is None:
            self.run.open -= 1
            if not self.run.open:
                self.run.over.set()
            return
        self.id = self.run.next_id - 1
        self.timestamps: list[int] = []
        self.sent_ns = monotonic_ns()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Timestamp the read, then parse it."""
        self.now_ns = monotonic_ns()
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Count token events. This server writes complete events only."""
        for event in body[6:-2].split(b"\n\ndata: "):
            if event != b"[DONE]" and any(c.text for c in _decode(event).choices):
                self.timestamps.append(self.now_ns)

    def on_message_complete(self) -> None:
        """Keep the row and send the next request."""
        run, timestamps = self.run, self.timestamps
        run.failed += len(timestamps) != run.tokens
        row = (self.id, self.sent_ns, timestamps[0], timestamps[-1], self.now_ns, len(timestamps))
        run.rows.append((*row, len(run.timestamps)))
        run.timestamps.extend(timestamps)
        self.send()


async def _main(argv: list[str]) -> None:
    run = _Run(argv)
    loop = asyncio.get_running_loop()
    connections = [
        await loop.create_connection(lambda: _Connection(run), "127.0.0.1", run.port)
        for _ in range(run.concurrency)
    ]
    gc.collect()
    gc.freeze()
    gc.disable()
    started_ns, cpu_s = monotonic_ns(), process_time()
    run.until_ns += started_ns if run.until_ns else 0
    run.open = run.concurrency
    for _, connection in connections:
        connection.send()
    await run.over.wait()
    ended_ns, cpu_s = monotonic_ns(), process_time() - cpu_s
    with open(argv[6], "wb") as out:  # noqa: ASYNC230, PTH123 - the load has ended
        out.write(b"TBFLOOR1" + struct.pack("<q", len(run.rows)))
        out.writelines(_ROW.pack(*row) for row in run.rows)
        out.write(run.timestamps.tobytes())
    result = {
        "requests": len(run.rows),
        "failed": run.failed,
        "cpu_s": cpu_s,
        "wall_s": (ended_ns - started_ns) / 1e9,
        "started_ns": started_ns,
        "max_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_main(sys.argv[1:]))
