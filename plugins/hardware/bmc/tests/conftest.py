"""BMCs: OpenIPMI's simulator with a module for DCMI, and a real HTTP server with Redfish's JSON."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
USER, PASSWORD, VARIABLE = "bench", "s3cret-of-the-bmc", "BENCH_TEST_BMC_PASSWORD"
LAN = """\
name "bmc"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {port}
    priv_limit admin
    allowed_auths_admin md5
    guid a123456789abcdefa123456789abcdef
  endlan
  user 2 true "{user}" "{password}" admin 10 md5
loadlib "{module}" "{watts}"
"""
# Manufacturer 0x2a7c is Supermicro.
EMULATED = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x002a7c 0x0b1f
mc_enable 0x20
"""


def captured(name: str) -> dict[str, Any]:
    """A file of `captured/`: each answer with its origin."""
    found: dict[str, Any] = json.loads((HERE / "captured" / f"{name}.json").read_text())
    return found


@pytest.fixture
def password(monkeypatch) -> str:
    """The BMC's password, in the environment."""
    monkeypatch.setenv(VARIABLE, PASSWORD)
    return PASSWORD


# -- IPMI ------------------------------------------------------------------------------------------


class IpmiBmc:
    """A running simulator. `watts`: the file with the power that it reports."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.watts = folder / "watts"
        self.port = _free_port()
        self.options = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": USER,
            "password_env": VARIABLE,
            # The simulator does not answer when asked for its best one.
            "cipher_suite": 3,
        }
        self.report(812)

    def report(self, watts: int) -> None:
        """Set the power; a negative number is a completion code."""
        self.watts.write_text(f"{watts}\n")

    def start(self) -> None:
        """Compile the module and run the simulator."""
        module = self._folder / "dcmi.so"
        compiler = ["gcc", "-shared", "-fPIC", "-o", str(module), str(HERE / "dcmi.c")]
        done = subprocess.run(compiler, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"cannot compile a module of ipmi_sim (libopenipmi-dev): {done.stderr}")
        (self._folder / "state").mkdir()
        values = {"port": self.port, "user": USER, "password": PASSWORD}
        (self._folder / "lan.conf").write_text(
            LAN.format(module=module, watts=self.watts, **values)
        )
        (self._folder / "bmc.emu").write_text(EMULATED)
        files = ["-c", "lan.conf", "-f", "bmc.emu", "-s", "state", "-n"]
        self._process = subprocess.Popen(
            ["ipmi_sim", *files],
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait()

    def _wait(self) -> None:
        """Until it answers a ping of RMCP (ASF presence ping)."""
        ping = bytes.fromhex("0600ff06000011be80000000")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(0.1)
            for _ in range(50):
                asking.sendto(ping, ("127.0.0.1", self.port))
                try:
                    asking.recv(100)
                except OSError:
                    time.sleep(0.05)
                else:
                    return
        raise AssertionError("ipmi_sim does not answer")

    def stop(self) -> None:
        """End the simulator."""
        self._process.kill()
        self._process.wait()


@pytest.fixture
def ipmi_bmc(tmp_path: Path, password: str) -> Iterator[IpmiBmc]:
    """OpenIPMI's BMC simulator on a port of its own."""
    for program, package in (("ipmitool", "ipmitool"), ("ipmi_sim", "openipmi"), ("gcc", "gcc")):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (Debian: {package})")
    bmc = IpmiBmc(tmp_path)
    bmc.start()
    yield bmc
    bmc.stop()


@pytest.fixture
def ipmitool(tmp_path: Path, monkeypatch) -> Callable[[str], Path]:
    """Puts a program `ipmitool` into PATH: a shell script with this text. It records its arguments
    and the password it was given.
    """
    folder = tmp_path / "bin"
    folder.mkdir()

    def install(script: str) -> Path:
        program = folder / "ipmitool"
        record = tmp_path / "record"
        program.write_text(
            f'#!/bin/sh\necho "$@" >> {record}\necho "$IPMI_PASSWORD" >> {record}\n{script}\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        return record

    return install


# -- Redfish ---------------------------------------------------------------------------------------


class RedfishBmc:
    """A running service. Tests change `resources` (path: object), and put into `override` what a
    path answers instead: a status, bytes, or a function that is given the handler.
    """

    def __init__(self, certificate: Path | None = None, port: int = 0) -> None:
        self.resources: dict[str, Any] = {}
        self.override: dict[str, Any] = {}
        self.asked: list[str] = []
        self.connections = 0
        bmc = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                bmc.connections += 1
                super().setup()

            def do_GET(self) -> None:
                bmc.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing is logged."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Clients may go."""

        self._server = Server(("127.0.0.1", port), Handler)
        scheme = "http"
        if certificate is not None:
            scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.name = f"127.0.0.1:{self._server.server_port}"
        self.options: dict[str, Any] = {
            "url": f"{scheme}://{self.name}",
            "user": USER,
            "password_env": VARIABLE,
            "insecure": certificate is None,
            "limit_s": 0.5,
        }
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """One request."""
        self.asked.append(handler.path)
        token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        path = handler.path if handler.path == "/redfish/v1/" else handler.path.rstrip("/")
        known = self.override.get(path, self.resources.get(path, 404))
        if path != "/redfish/v1/" and handler.headers["Authorization"] != f"Basic {token}":
            known = 401
        if callable(known):
            known(handler)
        elif isinstance(known, int):
            self.send(handler, b'{"error": {}}', status=known)
        else:
            self.send(handler, known if isinstance(known, bytes) else json.dumps(known).encode())

    @staticmethod
    def send(
        handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str
    ) -> None:
        """A whole answer."""
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def serve_power(self, power: dict[str, Any], chassis: str = "1") -> None:
        """Serve a captured Power resource, with the least of a service around it."""
        root, path = "/redfish/v1", f"/redfish/v1/Chassis/{chassis}"
        self.resources = {
            f"{root}/": {"RedfishVersion": "1.6.0"},
            f"{root}/Systems": {"Members": [{"@odata.id": f"{root}/Systems/1"}]},
            f"{root}/Systems/1": {"Links": {"Chassis": [{"@odata.id": path}]}},
            f"{root}/Chassis": {"Members": [{"@odata.id": path}]},
            path: {"Id": chassis, "Power": {"@odata.id": f"{path}/Power"}},
            f"{path}/Power": power,
        }

    def close(self) -> None:
        """Stop answering: open connections are left alone."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def redfish_bmc(password: str) -> Iterator[RedfishBmc]:
    """DMTF's mockup of a rack server, over plain HTTP."""
    bmc = RedfishBmc()
    bmc.resources = captured("dmtf_rackmount")["resources"]
    yield bmc
    bmc.close()


@pytest.fixture
def serve_redfish(password: str) -> Callable[[int], Any]:
    """Serves DMTF's mockup on a port, for the time of a with block."""

    @contextlib.contextmanager
    def serve(port: int) -> Iterator[RedfishBmc]:
        bmc = RedfishBmc(port=port)
        bmc.resources = captured("dmtf_rackmount")["resources"]
        yield bmc
        bmc.close()

    return serve


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate of 127.0.0.1, with its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, made = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(made)]
    subprocess.run(command, check=True, capture_output=True)
    both = tmp_path / "both.pem"
    both.write_text(key.read_text() + made.read_text())
    return both


@pytest.fixture
def secure_bmc(password: str, certificate: Path) -> Iterator[RedfishBmc]:
    """The same over HTTPS, with a self-signed certificate."""
    bmc = RedfishBmc(certificate)
    bmc.resources = captured("dmtf_rackmount")["resources"]
    yield bmc
    bmc.close()


def wait_for(sampler: Any, wanted: Callable[[dict[str, Any]], bool], limit_s: float = 8.0) -> Any:
    """The first sample that is as wanted."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        (sample,) = sampler.sample()
        if wanted(sample):
            return sample
        time.sleep(0.02)
    raise AssertionError(f"still {sampler.sample()}")


@pytest.fixture
def until() -> Callable[..., Any]:
    """`wait_for`, for test files."""
    return wait_for


@pytest.fixture
def answers() -> Callable[[str], dict[str, Any]]:
    """`captured`, for test files."""
    return captured


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
