"""Ways to be wrong about a server, and what `bench run` says to each.

``python benchmarks/wrong_server.py`` starts small servers on 127.0.0.1 that behave like real ones
(a key, one model, a small context), runs `bench run` with one mistake at a time, and prints a
table: seconds until the cause was on the screen, seconds until the command ended, its exit code,
and its two lines. Where waiting may help (nothing listens yet), bench waits until
``start_timeout_s``, here 3 s, and soon shows what it waits for. ``--json`` prints the rows as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

KEY, MODEL, CONTEXT = "right-key", "right-model", 64
START_TIMEOUT_S = 3


class Handler(BaseHTTPRequestHandler):
    """The OpenAI API for one model, with a key and a context of `CONTEXT` words."""

    protocol_version = "HTTP/1.1"
    # What a server does with a request before it looks at it; True: the request was answered.
    habit: ClassVar[Callable[[Handler], bool] | None] = None

    def log_message(self, *_: object) -> None:
        """Be quiet."""

    def do_GET(self) -> None:
        """Health and models."""
        if self.habit is not None and self.habit():
            return
        if self.path == "/v1/models":
            self.reply(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})
        elif self.path == "/health":
            self.reply(200, {})
        else:
            self.reply(404, {"detail": "Not Found"})

    def do_POST(self) -> None:
        """Completions."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.habit is not None and self.habit():
            return
        if self.path not in ("/v1/chat/completions", "/v1/completions"):
            self.reply(404, {"detail": "Not Found"})
        elif self.headers["Authorization"] != f"Bearer {KEY}":
            self.reply(401, {"error": {"message": "Incorrect API key provided"}})
        elif body["model"] != MODEL:
            self.reply(404, {"error": {"message": f"The model `{body['model']}` does not exist."}})
        elif len(self._prompt(body).split()) > CONTEXT:
            text = f"This model's maximum context length is {CONTEXT} tokens."
            self.reply(400, {"error": {"message": text, "type": "BadRequestError"}})
        else:
            self.stream(body)

    def stream(self, body: dict[str, Any], encode: Callable[[bytes], bytes] = bytes) -> None:
        """An answer of the asked length, whole at once."""
        n_in, n_out = len(self._prompt(body).split()), body["max_tokens"]
        name = "delta" if "messages" in body else "text"
        part: Any = {"content": "word "} if "messages" in body else "word "
        end: Any = {} if "messages" in body else ""
        events: list[dict[str, Any]] = [
            {"choices": [{"index": 0, name: part, "finish_reason": None}]}
        ] * n_out
        events.append({"choices": [{"index": 0, name: end, "finish_reason": "length"}]})
        usage = {"prompt_tokens": n_in, "completion_tokens": n_out}
        events.append({"choices": [], "usage": usage})
        lines = [*map(json.dumps, events), "[DONE]"]
        data = encode("".join(f"data: {line}\n\n" for line in lines).encode())
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        if encode is not bytes:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def reply(self, status: int, page: object, **headers: str) -> None:
        """A page of JSON."""
        data = json.dumps(page).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _prompt(self, body: dict[str, Any]) -> str:
        return str(body["prompt"] if "prompt" in body else body["messages"][0]["content"])


def redirects(handler: Handler) -> bool:
    """Sends every request to another address."""
    handler.reply(307, {}, Location=f"http://elsewhere.test{handler.path}")
    return True


def compresses(handler: Handler) -> bool:
    """Compresses answers without being asked to."""
    if handler.command == "POST":
        body = {"prompt": "", "max_tokens": 1}
        handler.stream(body, gzip.compress)
    return handler.command == "POST"


def limits(handler: Handler) -> bool:
    """Has no request left for this client."""
    if handler.command == "POST":
        handler.reply(429, {"error": {"message": "Rate limit reached"}})
    return handler.command == "POST"


def is_ill(handler: Handler) -> bool:
    """Its health page fails."""
    if handler.path == "/health":
        handler.reply(500, {"error": {"message": "worker lost"}})
    return handler.path == "/health"


@contextlib.contextmanager
def serving(
    habit: Callable[[Handler], bool] | None = None, certificate: Path | None = None
) -> Iterator[str]:
    """A server in this process; gives HOST:PORT."""
    handler = type("OneHandler", (Handler,), {"habit": habit})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def self_signed(folder: Path) -> Path:
    """A certificate that nobody trusts, with its key."""
    file = folder / "certificate"
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj"
    )
    subprocess.run(
        [*command.split(), "/CN=127.0.0.1", "-keyout", str(file), "-out", str(folder / "part")],
        check=True,
        capture_output=True,
    )
    with file.open("a") as out:
        out.write((folder / "part").read_text())
    return file


@contextlib.contextmanager
def mistakes(folder: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """The mistakes: what each asks of `bench run`, and the words that name its cause."""
    with contextlib.ExitStack() as stack:
        start = stack.enter_context
        plain = start(serving())
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            nobody = f"127.0.0.1:{free.getsockname()[1]}"
        found: dict[str, dict[str, Any]] = {
            "nothing listens": {"url": f"http://{nobody}", "cause": "nothing listens"},
            "https for http": {"url": f"https://{plain}", "cause": "speaks http, not https"},
            "unknown host": {
                "url": "http://no-such-host.invalid:80",
                "cause": "cannot be resolved",
            },
            "wrong path": {"url": f"http://{plain}/wrong", "cause": "a path that the server does"},
            "wrong key": {"url": f"http://{plain}", "key": "wrong", "cause": "HTTP 401"},
            "wrong model": {"url": f"http://{plain}", "model": "wrong", "cause": "does not serve"},
            "context too small": {"url": f"http://{plain}", "words": 100, "cause": "the context"},
            "redirect": {"url": f"http://{start(serving(redirects))}", "cause": "redirects to"},
            "compressed": {"url": f"http://{start(serving(compresses))}", "cause": "compresses"},
            "rate limit": {"url": f"http://{start(serving(limits))}", "cause": "HTTP 429"},
            "health fails": {
                "url": f"http://{start(serving(is_ill))}",
                "server": "vllm",
                "cause": "worker lost",
            },
        }
        if shutil.which("openssl") is not None:
            tls = start(serving(certificate=self_signed(folder)))
            found["http for https"] = {"url": f"http://{tls}", "cause": "speaks https, not http"}
            found["bad certificate"] = {"url": f"https://{tls}", "cause": "is not trusted"}
        yield found


def attempt(
    folder: Path,
    *,
    url: str,
    cause: str,
    model: str = MODEL,
    key: str = KEY,
    words: int = 8,
    server: str = "generic",
    start_timeout_s: float = START_TIMEOUT_S,
) -> dict[str, Any]:
    """Run `bench run` with one mistake."""
    engine = f"openai:base_url={url},model={model},server={server},api_key_env=WRONG_SERVER_KEY"
    command = [sys.executable, "-m", "tokenbench.cli.main", "run", "--runs", str(folder / "runs")]
    command += ["--engine", f"{engine},start_timeout_s={start_timeout_s:g}", "--requests", "4"]
    command += ["--workload", f"random:input_tokens={words},output_tokens=4"]
    begun = time.monotonic()
    shown_s, lines = None, []
    with subprocess.Popen(
        command,
        env={**os.environ, "WRONG_SERVER_KEY": key},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line.strip())
            if shown_s is None and cause in line:
                shown_s = time.monotonic() - begun
    ended_s = time.monotonic() - begun
    error, hint = ["", "", *lines][-2:]
    return {
        "shown_s": shown_s,
        "ended_s": ended_s,
        "code": process.returncode,
        "error": error.removeprefix("error: "),
        "hint": hint.removeprefix("hint: "),
    }


def main() -> None:
    """Try all mistakes and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch, mistakes(Path(scratch)) as found:
        for name, mistake in found.items():
            rows[name] = attempt(Path(scratch), **mistake)
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    print(
        "| mistake | shown s | ended s | exit code | error, hint |\n| --- | --- | --- | --- | --- |"
    )
    for name, row in rows.items():
        shown = "-" if row["shown_s"] is None else f"{row['shown_s']:.1f}"
        figures = f"{shown} | {row['ended_s']:.1f} | {row['code']}"
        print(f"| {name} | {figures} | {row['error']}<br>{row['hint']} |")


if __name__ == "__main__":
    main()
