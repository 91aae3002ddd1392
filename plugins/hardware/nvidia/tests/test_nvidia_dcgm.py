"""Samples from a page of dcgm-exporter: a captured one, the names of newer releases, and pages that
fail, on a real HTTP server.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tokenbench_hardware_nvidia.node.dcgm import METRICS, Page

CAPTURED = (Path(__file__).parent / "data" / "dcgm_exporter_2.4.0_a100.txt").read_text()
ITS_UUID = "GPU-34319582-d595-d1c7-d1d2-179bcfa61660"
# Names and units since dcgm-exporter 4.9 (DCGM 4.7).
NEW = """\
# HELP DCGM_FI_DEV_BOARD_POWER_WATTS Power draw (in W).
# TYPE DCGM_FI_DEV_BOARD_POWER_WATTS gauge
DCGM_FI_DEV_BOARD_POWER_WATTS{labels} 500.5
DCGM_FI_DEV_GPU_ENERGY_JOULES_TOTAL{labels} 5551899
DCGM_FI_DEV_GPU_UTIL_RATIO{labels} 0.5
DCGM_FI_DEV_FB_USED_BYTES{labels} 1073741824
DCGM_FI_DEV_GPU_TEMP_CELSIUS{labels} 50
DCGM_FI_DEV_MEMORY_TEMP_CELSIUS{labels} 60
DCGM_FI_DEV_SM_CLOCK_HERTZ{labels} 1980000000
DCGM_FI_DEV_MEMORY_CLOCK_HERTZ{labels} 3201000000
DCGM_FI_DEV_CLOCKS_EVENT_REASONS{labels} 4
"""
ROW = {
    "power_w": 500.5,
    "energy_j": 5551899.0,
    "utilization": 0.5,
    "memory_used_bytes": 1 << 30,
    "temperature_c": 50.0,
    "memory_temperature_c": 60.0,
    "clock_hz": 1.98e9,
    "memory_clock_hz": 3.201e9,
    "throttle": ["power cap"],
}
Answer = Callable[[BaseHTTPRequestHandler], None]


def page_of(template: str, boards: int = 8, extra: str = "") -> str:
    """The template's lines for each board of the stub."""
    parts = (
        f'{{gpu="{index}",UUID="GPU-stub-{index}",device="nvidia{index}"{extra}}}'
        for index in range(boards)
    )
    return "".join(template.replace("{labels}", labels) for labels in parts)


def text(make: Callable[[int], str], code: int = 200) -> Answer:
    """Answers with a text, made from the number of the request."""
    count = 0

    def answer(handler: BaseHTTPRequestHandler) -> None:
        nonlocal count
        count += 1
        body = make(count).encode()
        handler.send_response(code)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def growing(count: int) -> str:
    """As a running exporter: the energy grows."""
    return page_of(NEW).replace(" 5551899\n", f" {5551899 + count}\n")


@contextlib.contextmanager
def serving(answer: Answer) -> Iterator[dict[str, str]]:
    """The plugin's options for a page on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(OSError):
                answer(self)

        def log_message(self, *args: Any) -> None:
            """Keep the test's output clean."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield {"dcgm": f"http://127.0.0.1:{server.server_port}/metrics"}
    finally:
        server.shutdown()
        server.server_close()


def test_a_captured_page(ask) -> None:
    """An A100's page: MHz, mJ, MiB and W to our units. What it lacks is told."""
    with serving(text(lambda _: CAPTURED.replace(ITS_UUID, "GPU-stub-0"))) as options:
        found = ask(options=options, pause_s=0.5)
    row = found["readings"][1][2][0]
    assert row == {
        "device": 0,
        "power_w": 409.692,
        "energy_j": pytest.approx(319159.391),
        "memory_used_bytes": 4845 << 20,
        "temperature_c": 61.0,
        "memory_temperature_c": 69.0,
        "clock_hz": 1.215e9,
        "memory_clock_hz": 1.215e9,
        "pids": [],
    }
    notes = found["probe"]["notes"]
    assert notes["utilization"] == "not on the page of dcgm-exporter"
    assert "add DCGM_FI_DEV_CLOCKS_EVENT_REASONS" in notes["throttle"]
    assert notes["power_w"].startswith("device 1, 2, 3, 4, 5, 6, 7: not on the page")
    assert found["probe"]["facts"]["samples"] == f"dcgm-exporter, {options['dcgm']}"


def test_newer_names(ask, oldest_python) -> None:
    """Since 4.9: Hz, J, bytes and ratios. Processes come from NVML."""
    with serving(text(growing)) as options:
        found = ask(options=options, pause_s=0.5, python=oldest_python)
    rows = found["readings"][1][2]
    assert [row.pop("device") for row in rows] == list(range(8))
    for row in rows:
        assert row.pop("energy_j") > 5551899
        assert row == {**{k: v for k, v in ROW.items() if k != "energy_j"}, "pids": []}
    assert found["probe"]["notes"] == {}
    assert found["probe"]["devices"][0]["power_limit_w"] == 700  # devices are NVML's


def test_instances(ask) -> None:
    """A MIG instance's lines repeat what is the board's: only its own values count."""
    mig = page_of(NEW, extra=',GPU_I_PROFILE="3g.71gb",GPU_I_ID="2"')
    with serving(text(lambda count: growing(count) + mig)) as options:
        found = ask(options=options, pause_s=0.5, NVML_STUB_MIG="5")
    rows = {row["device"]: row for row in found["readings"][1][2]}
    assert rows[600] == {
        "device": 600,
        "memory_used_bytes": 1 << 30,
        "temperature_c": 50.0,
        "memory_temperature_c": 60.0,
        "throttle": ["power cap"],
        "pids": [],
    }
    assert rows[603] == {"device": 603, "pids": []}
    assert rows[0]["power_w"] == 500.5


@pytest.mark.parametrize("blank", ["9223372036854775794", "140737488355330.000000", "NaN", "-1"])
def test_blank_values(blank: str) -> None:
    """DCGM's numbers for "not supported" and its like are no values."""
    for name in METRICS:
        page = Page(f'{name}{{gpu="0",UUID="GPU-a"}} {blank}\n')
        assert page.of("GPU-a", 0, None) == {}


def test_a_page_in_text() -> None:
    """Labels in any case and with escapes, timestamps, no UUIDs; other metrics are left out."""
    page = Page(
        'up 1\nDCGM_FI_DEV_POWER_USAGE{gpu="1",Hostname="a\\"b{}",uuid="GPU-a"} 7.5 1700000000000\n'
        'DCGM_FI_DEV_POWER_USAGE{gpu="2"} seven\nother{gpu="3"} 4\nDCGM_FI_DEV_POWER_USAGE 3\n'
        'DCGM_FI_DEV_MEMORY_TEMP{gpu="1",uuid="GPU-a"} 0\n'
    )
    assert page.of("GPU-a", 0, None) == {"power_w": 7.5}
    assert page.of("GPU-b", 1, None) is None
    assert Page('DCGM_FI_DEV_GPU_UTIL{gpu="3"} 77\n').of("GPU-b", 3, None) == {
        "utilization": pytest.approx(0.77)
    }


def test_a_gpu_that_leaves_the_page(ask) -> None:
    """Its row stays, with the reason."""

    def make(count: int) -> str:
        # The probe reads once, the sampler once a second.
        return growing(count) if count < 3 else growing(count).replace("GPU-stub-7", "GPU-other")

    with serving(text(make)) as options:
        found = ask(options=options, devices=[6, 7], wait_s=0.4, pause_s=1.2)
    (_, _, before), (_, _, after) = found["readings"]
    assert [row["power_w"] for row in before] == [500.5, 500.5]
    assert after[0]["power_w"] == 500.5
    assert after[1] == {"device": 7, "lost": "the page of dcgm-exporter no longer has it"}


def test_a_lost_gpu(ask, tmp_path) -> None:
    """NVML says that it is lost: so does its row."""
    flag = tmp_path / "flag"
    fail = f"nvmlDeviceGetCompute:3:15:{flag}"
    with serving(text(growing)) as options:
        found = ask(options=options, pause_s=1.1, flag=flag, NVML_STUB_FAIL=fail)
    rows = found["readings"][1][2]
    assert rows[3] == {"device": 3, "lost": "GPU is lost"}
    assert rows[4]["power_w"] == 500.5


def test_a_page_that_does_not_change(ask) -> None:
    """An exporter that reads the GPUs every 30 s: an old value is no value."""
    with serving(text(lambda _: page_of(NEW))) as options:
        found = ask(options=options, wait_s=0.4, pause_s=3.2)
    assert found["readings"][0][2][0]["power_w"] == 500.5
    assert found["readings"][1][2][0] == {"device": 0, "pids": []}


def drip(handler: BaseHTTPRequestHandler) -> None:
    """A byte now and then, without an end."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"#")
        time.sleep(0.1)


FAILURES: dict[str, tuple[Answer, str]] = {
    "error": (text(lambda _: "no", 500), "Internal Server Error"),
    "missing": (text(lambda _: "no", 404), "Not Found"),
    "page": (text(lambda _: "<html>hello</html>"), "is it the /metrics page"),
    "empty": (text(lambda _: ""), "is it the /metrics page"),
    "bytes": (lambda handler: handler.wfile.write(b"\xff\x00" * 999), "BadStatusLine"),
    "slow": (lambda handler: time.sleep(5), "timed out"),
    "drip": (drip, "no complete answer within 2 s"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_page_that_fails(ask, failure: str) -> None:
    """Devices are intact, each field has the reason, and a reading is quick."""
    answer, message = FAILURES[failure]
    with serving(answer) as options:
        found = ask(options=options)
    assert len(found["probe"]["devices"]) == 8
    assert set(found["probe"]["notes"]) == set(ROW)
    assert message in found["probe"]["notes"]["power_w"]
    for start, end, rows in found["readings"]:
        assert end - start < 0.1
        assert rows == [{"device": index, "pids": []} for index in range(8)]


def test_a_dead_page(ask) -> None:
    """Nobody listens: the reason says so."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = ask(options={"dcgm": f"http://127.0.0.1:{port}/metrics"})
    assert "Connection refused" in found["probe"]["notes"]["energy_j"]
    assert len(found["readings"][1][2]) == 8


def test_a_proxy_is_not_used(ask) -> None:
    """The page is on the host itself."""
    with serving(text(growing)) as options:
        found = ask(options=options, pause_s=0.5, http_proxy="http://127.0.0.1:1")
    assert found["readings"][1][2][0]["power_w"] == 500.5
