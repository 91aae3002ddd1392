"""Which hosts are sampled."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tokenbench.api import FrozenMap
from tokenbench.run import telemetry
from tokenbench.run.telemetry import start_telemetry


@pytest.mark.parametrize(
    ("url", "processes", "asked", "sampled"),
    [
        ("http://127.0.0.1:8000", (), False, ["own", "other"]),
        ("http://192.0.2.7:8000", ("server",), False, ["own", "other"]),  # started by a launcher
        ("http://192.0.2.7:8000", (), False, []),
        ("http://192.0.2.7:8000", (), True, ["other"]),  # a BMC that the user named
    ],
)
def test_devices_of_this_machine_are_not_those_of_a_server_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
    url: str,
    processes: tuple[str, ...],
    asked: bool,
    sampled: list[str],
) -> None:
    """Power of the client's accelerators is none of the server's."""
    seen: list[str] = []
    notes: list[str] = []
    other = SimpleNamespace(asked=asked)
    monkeypatch.setattr(telemetry, "_record_devices", lambda *_: None)
    monkeypatch.setattr(telemetry, "_watch_own", lambda *_: seen.append("own"))
    monkeypatch.setattr(telemetry, "_watch_other", lambda *_: seen.append("other"))
    monkeypatch.setattr(telemetry, "_other_plugins", lambda *_: [other])
    monkeypatch.setattr(telemetry.Telemetry, "agent", lambda *_: None)
    run: Any = SimpleNamespace(
        plan=SimpleNamespace(
            cores=SimpleNamespace(workers=(0,)),
            resolved=SimpleNamespace(
                suite=SimpleNamespace(telemetry=SimpleNamespace(interval_s=1.0))
            ),
        ),
        directory=SimpleNamespace(telemetry=lambda _: tmp_path),
        note=notes.append,
    )
    deployment: Any = SimpleNamespace(id="d", all_hardware=["gpu"], facts=FrozenMap())
    server: Any = SimpleNamespace(
        url=url,
        plan=SimpleNamespace(processes=processes),
        deployment=SimpleNamespace(hosts=["localhost"], channel=lambda _: None),
    )
    start_telemetry(run, deployment, server).close()
    assert seen == sampled
    assert bool(notes) is ("own" not in sampled)
