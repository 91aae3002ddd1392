"""llama.cpp's server in its own process: ``python server.py --model FILE --port N ...``.

Does not need tokenbench, so that the engine may be installed in another environment. Flags have the
names of llama-server's flags. Exit codes: 2 usage, 3 weights, 4 port, 5 other errors.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import tempfile
import threading
from typing import Any, NoReturn

GGUF_MAGIC = b"GGUF"


def main(argv: list[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    args = _parser().parse_args(argv)
    # Native threads inherit the mask, so that only sigwait in this thread receives signals.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    _check_weights(args.model)
    _check_port(args.host, args.port)
    try:
        import xllamacpp
    except ImportError as error:
        _fail(5, f"could not import xllamacpp: {error}")
    print(f"xllamacpp build: {xllamacpp.BUILD_INFO}", file=sys.stderr, flush=True)
    _fail_after(args.load_timeout)
    try:
        server = xllamacpp.Server(_params(xllamacpp, args))
    except Exception as error:
        _fail(3, f"llama.cpp could not load {args.model}: {error}")
    _loaded.set()
    print(f"listening on {server.listening_address}", file=sys.stderr, flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    # The server's destructor would wait for running generations.
    os._exit(0)


_loaded = threading.Event()


def _fail_after(limit_s: float) -> None:
    def watch() -> None:
        if not _loaded.wait(limit_s):
            _fail(3, f"llama.cpp did not load the model within {limit_s:g} s")

    threading.Thread(target=watch, daemon=True).start()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="llamacpp-server")
    parser.add_argument("--model", required=True)
    parser.add_argument("--alias", default="default")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ctx-size", type=int, required=True, help="sum over all slots")
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=2048)
    parser.add_argument("--ubatch-size", type=int, default=512)
    parser.add_argument("--threads-http", type=int, default=0)
    parser.add_argument("--cache-prompt", action="store_true")
    parser.add_argument("--chat-template-file")
    parser.add_argument("--pooling", choices=("mean", "cls", "last"), help="serve embeddings")
    parser.add_argument("--load-timeout", type=float, default=600.0)
    return parser


def _params(library: Any, args: argparse.Namespace) -> Any:
    params = library.CommonParams()
    params.model.path = args.model
    params.model_alias = {args.alias}
    params.hostnames = [args.host]
    params.port = args.port
    params.n_ctx = args.ctx_size
    params.n_parallel = args.parallel
    params.n_batch = args.batch_size
    params.n_ubatch = args.ubatch_size
    params.cpuparams.n_threads = args.threads
    params.cpuparams_batch.n_threads = args.threads
    params.cont_batching = True
    params.endpoint_metrics = True
    params.endpoint_slots = True
    # It refuses to erase a slot without a folder for slots. Nothing is saved there.
    params.slot_save_path = os.path.join(tempfile.gettempdir(), "")  # noqa: PTH118
    params.endpoint_props = True
    params.cache_prompt = args.cache_prompt
    params.cache_ram_mib = -1 if args.cache_prompt else 0
    params.slot_prompt_similarity = 0.5 if args.cache_prompt else 0.0
    params.ctx_shift = False
    params.use_jinja = True
    if args.pooling:
        params.embedding = True
        kinds = library.llama_pooling_type
        params.pooling_type = getattr(kinds, f"LLAMA_POOLING_TYPE_{args.pooling.upper()}")
    if args.threads_http:
        params.n_threads_http = args.threads_http
    if args.chat_template_file:
        with open(args.chat_template_file, encoding="utf-8") as file:  # noqa: PTH123
            params.chat_template = file.read()
    return params


def _check_weights(path: str) -> None:
    """Report a missing or damaged file before native code aborts on it."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - standalone script
            magic = file.read(4)
    except OSError as error:
        _fail(3, f"cannot read the weights {path}: {error.strerror}")
    if magic != GGUF_MAGIC:
        _fail(3, f"the weights are corrupt: {path} is not a GGUF file")


def _check_port(host: str, port: int) -> None:
    """Fail if the port is in use: llama.cpp would share it (SO_REUSEPORT)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            _fail(4, f"port {host}:{port} cannot be used: {error.strerror}")


def _fail(code: int, message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr, flush=True)
    os._exit(code)


if __name__ == "__main__":
    main()
