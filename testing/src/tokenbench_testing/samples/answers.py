"""A server for evals that gives one fixed answer: in memory, and over HTTP for harnesses.

It generates no text. Checks use it to see how given answers are requested and graded.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import shutil
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import attrs

from tokenbench.api import Answer, EngineError, Generation

API_KEY = "kit-key-that-must-not-be-stored"


@attrs.define(kw_only=True)
class ScriptedEvalServer:
    """Implements :class:`tokenbench.api.EvalClient`; every answer is `answer`. `fails`: no request
    is answered.
    """

    answer: str
    base_url: str = ""
    model: str = "kit"
    concurrency: int = 2
    scratch: str = ""
    api_key: str | None = API_KEY
    fails: bool = False

    def generate(self, requests: Sequence[Generation]) -> Sequence[str]:
        """The texts of the answers."""
        return [answer.text for answer in self.answers(requests)]

    def answers(self, requests: Sequence[Generation]) -> Sequence[Answer]:
        """The answers, in order."""
        if self.fails:
            raise EngineError("the kit's server gives no answer", hint="core counts it")
        return [Answer(text=self.answer, finish="stop") for _ in requests]


@contextlib.contextmanager
def eval_server(answer: str, *, fails: bool = False) -> Iterator[ScriptedEvalServer]:
    """A running server, stopped at the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps(_reply(answer, chat="chat" in self.path)).encode()
            self.send_response(500 if fails else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http, eval_environment() as scratch:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            url = f"http://127.0.0.1:{http.server_port}"
            yield ScriptedEvalServer(answer=answer, base_url=url, scratch=scratch, fails=fails)
        finally:
            http.shutdown()
            thread.join()


def _reply(answer: str, *, chat: bool) -> dict[str, Any]:
    text: dict[str, Any] = {"text": answer}
    if chat:
        text = {"message": {"role": "assistant", "content": answer}}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {"id": "kit", "choices": [{"index": 0, "finish_reason": "stop", **text}], "usage": usage}


@contextlib.contextmanager
def eval_environment() -> Iterator[str]:
    """The environment of the eval worker: offline, caches in a folder that is removed afterwards,
    environment variables restored, warnings ignored.
    """
    before = dict(os.environ)
    with (
        tempfile.TemporaryDirectory(prefix="tokenbench-kit-") as scratch,
        warnings.catch_warnings(),
        open(os.devnull, "w") as devnull,  # noqa: PTH123 - a device, not a path
        contextlib.redirect_stderr(devnull),  # progress bars
    ):
        warnings.simplefilter("ignore")
        # As core starts the worker; the library reads them at its first import.
        os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_HOME=_home())
        try:
            yield scratch
        finally:
            os.environ.clear()
            os.environ.update(before)


@functools.cache
def _home() -> str:
    """One folder for the whole process: libraries read the variable once. Removed at exit."""
    folder = tempfile.mkdtemp(prefix="tokenbench-kit-home-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
