"""A server with ranks on several hosts, for Python 3.8: rank 0 asks all others for each token.

As with tensor parallelism, no token comes without every rank, and all end with the first that does.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COUNTS = {"prompt_tokens": 0, "generated_tokens": 0, "running": 0}
LOCK = threading.Lock()
RANKS: list[socket.socket] = []


def token() -> str:
    """The name of the host of each rank, from a round trip to it."""
    with LOCK:
        try:
            for rank in RANKS:
                rank.sendall(b"?")
            hosts = [socket.gethostname(), *(rank.recv(64).decode() for rank in RANKS)]
        except OSError as error:
            hosts = [str(error), ""]
        if "" in hosts:
            end("a rank is gone")
        COUNTS["generated_tokens"] += 1
    return " " + "+".join(hosts)


class Completions(BaseHTTPRequestHandler):
    """OpenAI's completions, streamed; the counters."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    pace_s = 0.0

    def do_GET(self) -> None:
        metrics = "".join(f"ranked_{name} {value}\n" for name, value in COUNTS.items())
        found = {"/health": "ok", "/version": "ranked 1", "/metrics": metrics}.get(self.path)
        self.send_response_only(200 if found else 404)
        self.send_header("Content-Length", str(len(found or "")))
        self.end_headers()
        self.wfile.write((found or "").encode())

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt, n_out = request.get("prompt"), request.get("max_tokens")
        if prompt is None or n_out is None:
            self.send_error(400)
            return
        n_in = len(prompt.split() if isinstance(prompt, str) else prompt)
        COUNTS["running"] += 1
        COUNTS["prompt_tokens"] += n_in
        self.send_response_only(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            for number in range(n_out):
                time.sleep(self.pace_s)
                last = "length" if number == n_out - 1 else None
                self.event({"choices": [{"index": 0, "text": token(), "finish_reason": last}]})
            self.event(
                {"choices": [], "usage": {"prompt_tokens": n_in, "completion_tokens": n_out}}
            )
            self.chunk(b"data: [DONE]\n\n")
            self.chunk(b"")
        COUNTS["running"] -= 1

    def event(self, data: object) -> None:
        self.chunk(b"data: " + json.dumps(data).encode() + b"\n\n")

    def chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    def log_message(self, *_: object) -> None:
        pass


def end(why: str) -> None:
    print(why, flush=True)
    os._exit(1)


def stop(args: argparse.Namespace) -> None:
    print("stopping", flush=True)
    time.sleep(args.stop_s)
    os._exit(0)


def lead(args: argparse.Namespace) -> None:
    with socket.create_server((args.host, args.sync)) as door:
        while len(RANKS) < args.ranks - 1:
            RANKS.append(door.accept()[0])
            print(f"{len(RANKS) + 1} of {args.ranks} ranks are here", flush=True)
    time.sleep(args.load_s)
    Completions.pace_s = args.pace_s
    ThreadingHTTPServer((args.host, args.port), Completions).serve_forever()


def follow(args: argparse.Namespace) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            leader = socket.create_connection((args.leader, args.sync), timeout=5)
            break
        except OSError as error:
            if time.monotonic() > deadline:
                end(f"no leader at {args.leader}: {error}")
            time.sleep(0.05)
    leader.settimeout(None)
    print(f"rank {args.rank} is at {leader.getsockname()[0]}", flush=True)
    with contextlib.suppress(OSError):
        while leader.recv(1):
            leader.sendall(socket.gethostname().encode())
    end("the leader is gone")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rank", type=int)
    parser.add_argument("--ranks", type=int)
    parser.add_argument("--leader")
    parser.add_argument("--sync", type=int)
    parser.add_argument("--host")
    parser.add_argument("--port", type=int)
    parser.add_argument("--pace-s", type=float, default=0.005)
    parser.add_argument("--load-s", type=float, default=0.0)
    parser.add_argument("--stop-s", type=float, default=0.0)
    parsed = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: stop(parsed))
    sys.exit(lead(parsed) if parsed.rank == 0 else follow(parsed))
