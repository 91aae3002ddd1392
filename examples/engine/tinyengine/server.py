"""The word server. `POST /talk {"text", "tokens"}` returns one JSON line per word, then the counts.

The weights are a text. Each word of an answer follows the previous word somewhere in that text. The
choice, and the first word, depend on the whole prompt. A token is a word.
"""

import argparse
import collections
import itertools
import json
import random
import threading
import time
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COUNTS = collections.Counter(prompt_tokens=0, generated_tokens=0, running=0)
LOCK = threading.Lock()


def count(**more: int) -> None:
    with LOCK:
        COUNTS.update(more)


class Talk(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    args: argparse.Namespace

    def do_GET(self) -> None:
        metrics = "".join(f"tiny_{name} {value}\n" for name, value in COUNTS.items())
        pages = {"/health": "ok", "/version": "tinyengine 0.1.0", "/metrics": metrics}
        self._send(200 if self.path in pages else 404, [pages.get(self.path, "not here")])

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        count(running=1)
        try:
            with self.args.capacity:
                self._send(200, self._answer(request["text"], request["tokens"]))
        finally:
            count(running=-1)

    def _send(self, status: int, parts: Iterable[str]) -> None:
        self.send_response_only(status)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in itertools.chain(parts, [""]):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part.encode()), part.encode()))

    def _answer(self, text: str, tokens: int) -> Iterator[str]:
        n_in, chance = len(text.split()), random.Random(text)
        answer: list[str] = []
        count(prompt_tokens=n_in)
        for _ in range(tokens):
            time.sleep(self.args.pace_s)
            follow = [after for word, after in self.args.pairs if answer and word == answer[-1]]
            answer.append(chance.choice(follow or text.split() or self.args.words))
            count(generated_tokens=1)
            yield json.dumps({"word": f" {answer[-1]}"}) + "\n"
        yield json.dumps({"in": n_in, "out": len(answer)}) + "\n"
        if self.args.log:
            print(json.dumps({"prompt": text, "answer": " ".join(answer)}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--weights", required=True, type=Path)
    parser.add_argument("--concurrency", default=1, type=int, help="requests answered at a time")
    parser.add_argument("--pace-s", default=0.002, type=float, help="time per word")
    parser.add_argument("--log", action="store_true", help="print prompts and answers")
    Talk.args = args = parser.parse_args()
    args.words = args.weights.read_text().split()
    args.pairs = list(itertools.pairwise([*args.words, args.words[0]]))
    args.capacity = threading.Semaphore(args.concurrency)
    ThreadingHTTPServer((args.host, args.port), Talk).serve_forever()
