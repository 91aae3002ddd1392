"""A word server whose parts may be separate processes. A token is a word.

`POST /prefill` reads a prompt and returns what an answer depends on; `POST /decode` takes that and
returns words; `POST /v1/completions` is the router: it asks one server for each. `GET /health`
answers 200 when the servers that it knows do.
"""

import argparse
import collections
import itertools
import json
import random
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = ("a", "cat", "and", "dog", "sat", "on", "mat", "saw", "bird", "in", "tree")
COUNTS = collections.Counter(requests=0, prompt_tokens=0, generated_tokens=0)
LOCK = threading.Lock()


def count(**more: int) -> None:
    with LOCK:
        COUNTS.update(more)


def prefill(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    words = request["text"].split()
    count(requests=1, prompt_tokens=len(words))
    yield {"seed": request["text"], "in": len(words)}


def decode(request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    count(requests=1)
    choose = random.Random(request["seed"])
    for _ in range(request["tokens"]):
        time.sleep(0.002)
        count(generated_tokens=1)
        yield {"word": f" {choose.choice(WORDS)}"}


def post(url: str, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    asked = urllib.request.Request(url, json.dumps(body).encode())  # noqa: S310
    with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
        yield from map(json.loads, answer)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    prefill: Iterator[str]
    decode: Iterator[str]
    known: list[str]

    def do_GET(self) -> None:
        metrics = "".join(f"tiny_{name} {value}\n" for name, value in COUNTS.items())
        pages = {"/health": "ok", "/version": "tinypools 0.1.0", "/metrics": metrics}
        status = 200 if self.path in pages else 404
        if self.path == "/health":
            try:
                for url in self.known:
                    urllib.request.urlopen(f"{url}/health", timeout=5).close()  # noqa: S310
            except OSError:
                status = 503
        self._send(status, [pages.get(self.path, "not here")])

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/completions":
            self._send(200, self._completion(request))
        else:
            events = (prefill if self.path == "/prefill" else decode)(request)
            self._send(200, (json.dumps(event) + "\n" for event in events))

    def _completion(self, request: dict[str, Any]) -> Iterator[str]:
        (state,) = post(f"{next(self.prefill)}/prefill", {"text": request["prompt"]})
        words = 0
        for event in post(f"{next(self.decode)}/decode", state | {"tokens": request["max_tokens"]}):
            words += 1
            yield _event({"choices": [{"index": 0, "text": event["word"]}]})
        usage = {"prompt_tokens": state["in"], "completion_tokens": words}
        yield _event({"choices": [{"index": 0, "text": "", "finish_reason": "length"}]})
        yield _event({"choices": [], "usage": usage}) + "data: [DONE]\n\n"

    def _send(self, status: int, parts: Any) -> None:
        self.send_response_only(status)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in itertools.chain(parts, [""]):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part.encode()), part.encode()))


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--prefill", nargs="*", default=[], help="servers that read prompts")
    parser.add_argument("--decode", nargs="*", default=[], help="servers that generate words")
    args = parser.parse_args()
    own = f"http://{args.host}:{args.port}"
    Handler.known = [*args.prefill, *args.decode]
    Handler.prefill = itertools.cycle(args.prefill or [own])
    Handler.decode = itertools.cycle(args.decode or [own])
    ThreadingHTTPServer((args.host, args.port), Handler).serve_forever()
