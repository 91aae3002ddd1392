"""The hardware `bmc` passes the conformance kit."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from tokenbench_testing import HardwareKit


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


PORT = _free_port()


class TestBmc(HardwareKit):
    """All checks, on this host."""

    name = "bmc"


class TestAnsweringBmc(HardwareKit):
    """All checks, with a Redfish service that answers."""

    name = "bmc"
    options: ClassVar[dict[str, Any]] = {
        "url": f"http://127.0.0.1:{PORT}",
        "user": "bench",
        "password_env": "BENCH_TEST_BMC_PASSWORD",
        "insecure": True,
    }
    known_failures: ClassVar[dict[str, str]] = {
        "option-defaults-are-valid": "it resets one option at a time, and these belong together"
    }

    @pytest.fixture(autouse=True)
    def _running(self, serve_redfish) -> Iterator[None]:
        with serve_redfish(PORT):
            yield
