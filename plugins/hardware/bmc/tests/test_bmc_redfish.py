"""Redfish: captured answers over real HTTP and HTTPS, and services that fail."""

from __future__ import annotations

import json
import socket
import ssl
import time
from pathlib import Path

import pytest
from tokenbench_hardware_bmc import node
from tokenbench_hardware_bmc.node.redfish import NO_COUNTER

CAPTURED = json.loads((Path(__file__).parent / "captured/power.json").read_text())
ROOT = "/redfish/v1"
METRICS = f"{ROOT}/Chassis/1U/EnvironmentMetrics"


def test_the_mockup_of_a_rack_server(redfish_bmc) -> None:
    """Maker, model, firmware of its BMC, and where the power is from."""
    probe = node.probe(redfish_bmc.options)
    assert probe["devices"] == [
        {"index": 0, "name": "Contoso 3500RX", "firmware": "1.45.455b66-rev4"}
    ]
    assert probe["notes"] == {"energy_j": NO_COUNTER}
    assert probe["facts"] == {
        "source": f"Redfish http://{redfish_bmc.name}/redfish/v1/Chassis/1U, EnvironmentMetrics",
        "redfish": "1.15.0",
    }


@pytest.mark.parametrize(
    ("missing", "watts"),
    [((), 374.0), (("EnvironmentMetrics",), 344.0), (("EnvironmentMetrics", "Power"), 937.4)],
)
def test_three_forms(redfish_bmc, until, missing: tuple[str, ...], watts: float) -> None:
    """The newest form that the chassis has; absent power supplies do not count."""
    for form in missing:
        del redfish_bmc.resources[f"{ROOT}/Chassis/1U"][form]
    sampler = node.sampler(redfish_bmc.options, [0])
    assert sampler is not None
    sample = until(sampler, lambda sample: "power_w" in sample)
    assert sample == {"device": 0, "power_w": watts}
    sampler.close()


@pytest.mark.parametrize("name", CAPTURED)
def test_captured_answers(redfish_bmc, name: str) -> None:
    """Each vendor's chassis power; 0 W and an empty list are no reading."""
    redfish_bmc.serve_power(CAPTURED[name]["power"])
    probe = node.probe(redfish_bmc.options)
    if CAPTURED[name]["power_w"] is None:
        assert probe["devices"] == []
        assert probe["reason"] == f"no chassis of {redfish_bmc.name} reports its power in watts"
        return
    assert probe["devices"] == [{"index": 0, "name": "chassis 1"}]
    source = node._open(redfish_bmc.options)
    assert source.read() == {"power_w": CAPTURED[name]["power_w"]}
    source.close()


@pytest.mark.parametrize(
    ("counter", "joules"),
    [
        ({"EnergyJoules": {"Reading": 5000}}, 5000.0),
        ({"EnergykWh": {"Reading": 12.345}}, 12.345 * 3.6e6),
        ({"EnergykWh": {"Reading": 325675}}, None),
        ({"EnergykWh": {"Reading": None}}, None),
        ({"EnergykWh": "broken"}, None),
    ],
)
def test_the_energy_counter(redfish_bmc, counter: dict[str, object], joules: float | None) -> None:
    """In joules. One with coarse steps is not used; a broken one does not take the power along."""
    redfish_bmc.resources[METRICS] |= counter
    source = node._open(redfish_bmc.options)
    reading = source.read()
    assert reading["power_w"] == 374.0
    assert reading.get("energy_j") == (None if joules is None else pytest.approx(joules))
    assert node.probe(redfish_bmc.options)["notes"] == ({} if joules else {"energy_j": NO_COUNTER})
    source.close()


def test_one_connection_for_all_readings(redfish_bmc) -> None:
    """A TLS handshake per reading would load the BMC; one that was closed is opened again."""
    source = node._open(redfish_bmc.options)
    for _ in range(5):
        source.read()
    assert redfish_bmc.connections == 1
    assert redfish_bmc.asked[-4:] == [METRICS] * 4

    def last(handler) -> None:
        redfish_bmc.send(handler, json.dumps(redfish_bmc.resources[METRICS]).encode())
        handler.close_connection = True

    redfish_bmc.override[METRICS] = last
    source.read()
    time.sleep(0.1)
    redfish_bmc.override.clear()
    assert source.read() == {"power_w": 374.0}
    assert redfish_bmc.connections == 2
    source.close()


# -- which chassis ---------------------------------------------------------------------------------


def _add_chassis(bmc, name: str, watts: float, **links: object) -> None:
    path = f"{ROOT}/Chassis/{name}"
    metrics = f"{path}/EnvironmentMetrics"
    bmc.resources[path] = {"EnvironmentMetrics": {"@odata.id": metrics}, "Links": links}
    bmc.resources[metrics] = {"PowerWatts": {"Reading": watts}}
    bmc.resources[f"{ROOT}/Chassis"]["Members"].append({"@odata.id": path})


def test_chassis_inside_another_are_not_added(redfish_bmc) -> None:
    """A GPU board in the server reports its power, too."""
    systems = redfish_bmc.resources[f"{ROOT}/Systems/437XR1138R2"]["Links"]["Chassis"]
    systems.append({"@odata.id": f"{ROOT}/Chassis/GPU_1"})
    container = {"@odata.id": f"{ROOT}/Chassis/1U"}
    _add_chassis(redfish_bmc, "GPU_1", 700.0, ContainedBy=container)
    source = node._open(redfish_bmc.options)
    assert source.read() == {"power_w": 374.0}
    source.close()


def test_several_chassis_need_a_choice(redfish_bmc) -> None:
    """No guess: the reason names them, and the option selects one."""
    del redfish_bmc.resources[f"{ROOT}/Systems"]
    _add_chassis(redfish_bmc, "Node2", 512.0)
    probe = node.probe(redfish_bmc.options)
    assert probe["reason"] == f"several chassis of {redfish_bmc.name} report power: 1U, Node2"
    assert probe["hint"] == "choose the one with this host: bmc:chassis=1U"
    chosen = {**redfish_bmc.options, "chassis": "Node2"}
    assert node.probe(chosen)["devices"] == [{"index": 0, "name": "chassis Node2"}]
    missing = node.probe({**redfish_bmc.options, "chassis": "Node3"})
    assert "404 Not Found at /redfish/v1/Chassis/Node3" in missing["reason"]
    assert "bmc:chassis" in missing["hint"]


# -- failures --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "answer", "reason"),
    [
        (f"{ROOT}/", 404, "{bmc} answers 404 Not Found at /redfish/v1/"),
        (f"{ROOT}/", 503, "{bmc} answers 503 Service Unavailable at /redfish/v1/"),
        (f"{ROOT}/", b"<html>login</html>", "{bmc} has no JSON object at /redfish/v1/"),
        (f"{ROOT}/", b"[]", "{bmc} has no JSON object at /redfish/v1/"),
        (f"{ROOT}/", b"\xff\x00", "{bmc} has no JSON object at /redfish/v1/"),
        (f"{ROOT}/Chassis/1U", b"{}", "no chassis of {bmc} reports its power in watts"),
        (f"{ROOT}/Systems", 500, "{bmc} answers 500 Internal Server Error at /redfish/v1/Systems"),
        (
            METRICS,
            b'{"PowerWatts": {"Reading": "none"}}',
            "",
        ),
    ],
)
def test_a_service_that_fails(redfish_bmc, path: str, answer: object, reason: str) -> None:
    """A reason and a hint each. A form without a number gives way to the next one."""
    redfish_bmc.override[path] = answer
    probe = node.probe(redfish_bmc.options)
    if not reason:
        assert probe["facts"]["source"].endswith(", Power")
        return
    assert (probe["devices"], probe["reason"]) == ([], reason.format(bmc=redfish_bmc.name))
    assert probe["hint"]


def test_a_wrong_password(redfish_bmc, monkeypatch) -> None:
    """401, without the password; the sampler does not ask again at once."""
    monkeypatch.setenv(redfish_bmc.options["password_env"], "wr0ng")
    probe = node.probe(redfish_bmc.options)
    assert probe["reason"] == f"{redfish_bmc.name} answers 401 Unauthorized"
    assert "password_env" in probe["hint"]
    assert "wr0ng" not in json.dumps(probe)
    redfish_bmc.asked.clear()
    sampler = node.sampler(redfish_bmc.options, [0])
    assert sampler is not None
    time.sleep(1.5)
    assert len(redfish_bmc.asked) == 1
    assert "401" in sampler.sample()[0]["lost"]
    sampler.close()


def test_a_redirect(redfish_bmc) -> None:
    """Followed on the same service (iLO adds a slash); elsewhere the password would leak."""
    places = {
        f"{ROOT}/Chassis/1U": "/redfish/v1/Chassis/One/",
        f"{ROOT}/": "https://elsewhere.example/redfish/v1/",
    }

    def move(handler) -> None:
        redfish_bmc.send(handler, b"", status=308, Location=places[handler.path])

    redfish_bmc.override[f"{ROOT}/Chassis/1U"] = move
    redfish_bmc.resources[f"{ROOT}/Chassis/One"] = redfish_bmc.resources[f"{ROOT}/Chassis/1U"]
    assert node.probe(redfish_bmc.options)["devices"]
    redfish_bmc.override[f"{ROOT}/"] = move
    probe = node.probe(redfish_bmc.options)
    assert "redirects /redfish/v1/ to 'https://elsewhere.example/redfish/v1/'" in probe["reason"]


def test_slow_services(redfish_bmc) -> None:
    """One that is silent and one that sends a byte at a time are given up after the limit."""

    def silent(handler) -> None:
        time.sleep(2)

    def drip(handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(20):
            handler.wfile.write(b" ")
            time.sleep(0.1)

    for slow in (silent, drip):
        redfish_bmc.override[f"{ROOT}/"] = slow
        started = time.monotonic()
        probe = node.probe(redfish_bmc.options)
        assert time.monotonic() - started < 1.5
        assert probe["reason"] == f"{redfish_bmc.name} did not answer within 0.5 s"


def test_a_body_that_breaks_off(redfish_bmc) -> None:
    """Half of a resource is not one."""

    def half(handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"{}")
        handler.connection.shutdown(socket.SHUT_RDWR)

    redfish_bmc.override[f"{ROOT}/"] = half
    reason = node.probe(redfish_bmc.options)["reason"]
    assert reason.startswith(f"no answer from {redfish_bmc.name}: IncompleteRead")


def test_nobody_there(redfish_bmc) -> None:
    """A refused connection, and a name that does not exist."""
    for host, words in (("127.0.0.1:9", "Connection refused"), ("no-such.invalid", "no answer")):
        probe = node.probe({**redfish_bmc.options, "url": f"http://{host}"})
        assert words in probe["reason"]
        assert host in probe["reason"]


def test_a_certificate_that_is_not_trusted(secure_bmc, certificate: Path, monkeypatch) -> None:
    """No password is sent; trusted by SSL_CERT_FILE, and accepted with the option."""
    probe = node.probe(secure_bmc.options)
    assert probe["reason"].startswith(f"the certificate of {secure_bmc.name} is not trusted: self")
    assert "insecure=yes" in probe["hint"]
    assert not secure_bmc.asked
    insecure = {**secure_bmc.options, "insecure": True}
    assert node.probe(insecure)["devices"]
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert ssl.get_default_verify_paths().cafile == str(certificate)
    assert node.probe(secure_bmc.options)["devices"]


def test_a_bmc_that_stops_in_the_middle(redfish_bmc, until) -> None:
    """The last reading for 3 s, then why there is none; then readings again."""
    sampler = node.sampler(redfish_bmc.options, [0])
    assert sampler is not None
    until(sampler, lambda sample: "power_w" in sample)
    redfish_bmc.override[METRICS] = lambda handler: handler.connection.shutdown(socket.SHUT_RDWR)
    failed = time.monotonic()
    time.sleep(1.5)
    assert sampler.sample()[0]["power_w"] == 374.0
    lost = until(sampler, lambda sample: "power_w" not in sample)
    assert 2.0 < time.monotonic() - failed < 4.5
    assert lost["lost"].startswith(f"no answer from {redfish_bmc.name}")
    redfish_bmc.override.clear()
    until(sampler, lambda sample: sample.get("power_w") == 374.0)
    sampler.close()


def test_a_bug_is_a_reason(monkeypatch) -> None:
    """`probe` never raises."""
    monkeypatch.setattr(node, "Ipmi", lambda *_: 1 / 0)
    probe = node.probe({})
    assert probe["devices"] == []
    assert "ZeroDivisionError" in probe["reason"]
