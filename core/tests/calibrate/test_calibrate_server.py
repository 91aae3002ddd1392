"""The reference server as a process: its schedule, its responses, its ground truth."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import numpy as np
import pytest

from tokenbench.api import MachineError
from tokenbench.calibrate.ground_truth import Truth, read_truth
from tokenbench.calibrate.server import HEAD, MAGIC, ROW
from tokenbench.launch.ports import free_port


@attrs.define
class Server:
    """A running server."""

    process: subprocess.Popen[bytes]
    port: int
    file: Path

    def connect(self) -> socket.socket:
        """A connection to it."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def truth(self) -> Truth:
        """Stop it and read the ground truth."""
        self.process.terminate()
        assert self.process.wait(10) == 0
        return read_truth(self.file)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """TTFT 30 ms, ITL 5 ms, capacity 1000 tokens."""
    port, file = free_port(), tmp_path / "truth.bin"
    options = f"--port {port} --truth {file} --ttft-s 0.03 --itl-s 0.005 --capacity 1000"
    command = [sys.executable, "-m", "tokenbench.calibrate.server", *options.split()]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 10
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.02)
        yield Server(process, port, file)
    finally:
        process.kill()
        process.wait()


def _post(connection: socket.socket, body: bytes, path: str = "/v1/completions") -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall(head.encode() + body)


def _request(connection: socket.socket, prompt: str, tokens: int) -> None:
    body = {"prompt": prompt, "max_tokens": tokens, "stream": True}
    _post(connection, json.dumps(body).encode())


def _until(connection: socket.socket, mark: bytes) -> bytes:
    data = b""
    while mark not in data:
        more = connection.recv(65536)
        assert more, data
        data += more
    return data


def test_schedule_and_record(server: Server) -> None:
    """A token's timestamp is its due time plus its lateness, which is never negative."""
    with server.connect() as one, server.connect() as other:
        for number, connection in ((7, one), (8, other), (9, one)):
            _request(connection, f"#{number:09d} word word", 10)
            _until(connection, b"0\r\n\r\n")
    truth = server.truth()
    assert list(truth.requests["id"]) == [7, 8, 9]
    assert list(truth.requests["sent"]) == list(truth.requests["requested"]) == [10, 10, 10]
    assert list(truth.offsets) == [0, 10, 20]
    assert not truth.requests["blocked"].any()
    due = (
        np.repeat(truth.requests["arrival_ns"], 10)
        + 30_000_000
        + np.tile(np.arange(10), 3) * (5_000_000)
    )
    assert (truth.send_ns - due == truth.late_ns).all()
    assert (truth.late_ns >= 0).all()
    # An order of magnitude only: other programs may use this machine.
    assert np.median(truth.late_ns) < 50_000_000


def test_response_format(server: Server) -> None:
    """Chunked server-sent events: one event per requested token, usage, ``[DONE]``."""
    with server.connect() as connection:
        _request(connection, "#000000001 two three four", 5)
        data = _until(connection, b"0\r\n\r\n")
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert b"chunked" in head
    events = [line[6:] for line in body.split(b"\r\n") if line.startswith(b"data: ")]
    events = [event.strip() for event in events]
    assert events[-1] == b"[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert [len(chunk["choices"]) for chunk in chunks] == [1, 1, 1, 1, 1, 0]
    assert chunks[4]["choices"][0]["finish_reason"] == "length"
    assert chunks[5]["usage"] == {"prompt_tokens": 4, "total_tokens": 9, "completion_tokens": 5}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/chat/completions", b"{}", b"404"),
        ("/v1/completions", b"{}", b"400"),
        ("/v1/completions", b"no json", b"400"),
        ("/v1/completions", b'{"prompt":"#1","max_tokens":-1,"stream":true}', b"400"),
        ("/v1/completions", b'{"prompt":"#1","max_tokens":1001,"stream":true}', b"503"),
    ],
)
def test_unsupported_requests_are_refused(
    server: Server, path: str, body: bytes, status: bytes
) -> None:
    """With a status; the connection stays usable, and the record has the served request only."""
    with server.connect() as connection:
        _post(connection, body, path)
        assert _until(connection, b"\r\n\r\n").split()[1] == status
        _request(connection, "no id", 3)
        _until(connection, b"0\r\n\r\n")
    truth = server.truth()
    assert list(truth.requests["id"]) == [-1]


def test_disconnect_ends_one_stream(server: Server) -> None:
    """The record has the tokens sent before it; the other stream is complete."""
    with server.connect() as other:
        with server.connect() as connection:
            _request(connection, "#000000001", 400)
            _request(other, "#000000002", 60)
            _until(connection, b"data: ")
        _until(other, b"0\r\n\r\n")
    truth = server.truth()
    sent = dict(zip(truth.requests["id"], truth.requests["sent"], strict=True))
    assert set(sent) == {1, 2}
    assert 0 < sent[1] < 400
    assert sent[2] == 60


@pytest.mark.parametrize("data", [None, b"", b"TBTRUTH1", b"x" * 100])
def test_invalid_ground_truth_is_refused(tmp_path: Path, data: bytes | None) -> None:
    """A missing file (a killed server), an empty one, a header only, other data."""
    if data is not None:
        (tmp_path / "truth.bin").write_bytes(data)
    with pytest.raises(MachineError, match="no complete ground truth"):
        read_truth(tmp_path / "truth.bin")


def test_truncated_ground_truth_is_refused(tmp_path: Path) -> None:
    """At any length: in the header, in a row, in a timestamp, between two."""
    file = tmp_path / "truth.bin"
    row = ROW.pack(7, 10, 0, 0, 2, 2, 4, 0)
    whole = HEAD.pack(MAGIC, 50, 10, 1) + row + struct.pack("<qq", 60, 73)
    file.write_bytes(whole)
    truth = read_truth(file)
    assert (list(truth.send_ns), list(truth.late_ns)) == ([60, 73], [0, 3])
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(MachineError, match="no complete ground truth"):
            read_truth(file)
