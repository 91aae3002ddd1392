"""Binding of symbols, and the local launcher."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenbench.api import (
    EndpointSpec,
    EngineError,
    FileSpec,
    FrozenMap,
    HardwareAbsent,
    LauncherContext,
    LaunchPlan,
    PluginError,
    ProcessSpec,
    Resources,
)
from tokenbench.api.binding import bind, bind_process, render_flag, symbols
from tokenbench.launch.local import LocalLauncher
from tokenbench.launch.ports import free_port, require_free

_FACTS = {"host": "127.0.0.1", "port:http": "81", "decode.1.port:http": "82", "weights": "/w"}


def test_symbols_are_bound_and_json_is_unchanged() -> None:
    """Other braces are literal."""
    text = (
        '{host}:{port:http} {decode.1.port:http} {weights} {"method": "ngram", "n": {"a": 1}} {x}'
    )
    assert bind(text, _FACTS, "here") == (
        '127.0.0.1:81 82 /w {"method": "ngram", "n": {"a": 1}} {x}'
    )


@pytest.mark.parametrize("text", ["{port:nope}", "{decode.9.host}", "{scratch}", "{file:x}"])
def test_unknown_symbols_are_errors(text: str) -> None:
    """The message has the place."""
    with pytest.raises(PluginError, match="process server"):
        bind(text, _FACTS, "process server.0, --flag")


_WORD = st.sampled_from([*_FACTS, "x", "", "{}", "a b", "\n"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | _WORD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORD, inner, max_size=3),
    max_leaves=8,
)
_LITERAL = st.text(alphabet=st.sampled_from('ab:. "|$')) | st.sampled_from(
    ["{}", "{{", "}}", "{x}", '{"host": 1}', "{ host }", "{HOST}", "{0}", "${A}"]
)


@given(st.dictionaries(_WORD, _JSON, max_size=4), st.booleans())
def test_json_is_unchanged(value: object, compact: bool) -> None:
    """Also if a key is spelt like a symbol."""
    text = json.dumps(value, separators=(",", ":") if compact else None)
    assert bind(text, {}, "here") == text


@given(st.lists(st.tuples(_LITERAL, st.sampled_from(sorted(_FACTS)))), _LITERAL)
def test_symbols_are_bound_in_any_position(parts: list[tuple[str, str]], end: str) -> None:
    """Between any literals, in any number and order; the literals do not change."""
    text = "".join(f"{literal}|{{{symbol}}}" for literal, symbol in parts) + "|" + end
    bound = "".join(f"{literal}|{_FACTS[symbol]}" for literal, symbol in parts) + "|" + end
    assert bind(text, _FACTS, "here") == bound
    assert symbols(text) == tuple(symbol for _, symbol in parts)


def test_values_are_not_bound_again() -> None:
    """A path or key may contain braces."""
    assert bind("{weights}", {"weights": "{host}", "host": "x"}, "here") == "{host}"


@pytest.mark.parametrize(
    "text",
    [
        *("{port:http2}", "{port:kv-events}", "{decode2.0.host}", "{kv-store.0.host}"),
        *("{decode.0.hots}", "{server.0.port}", "{file:none}", "{secret:A-B}"),
    ],
)
def test_misspelt_symbols_are_errors(text: str) -> None:
    """They must not reach an engine as text."""
    with pytest.raises(PluginError, match="process server"):
        bind(text, _FACTS, "process server.0, --flag")


def test_flags_are_rendered_last_and_in_order() -> None:
    """True: the flag alone; False and None: no flag; a tuple: several values."""
    spec = ProcessSpec(
        argv=("serve", "{weights}"),
        flags=FrozenMap({"--b": 1, "--a": True, "--no": False, "--none": None, "--many": (1, 2)}),
    )
    bound = bind_process(spec, 0, _FACTS, {})
    assert bound.argv == ("serve", "/w", "--b", "1", "--a", "--many", "1", "2")
    assert render_flag("--x", 0) == ("--x", "0")


def test_secrets_are_allowed_in_the_environment_only() -> None:
    """All users can read argv in the process list."""
    secret = {"KEY": "hush"}
    spec = ProcessSpec(argv=("serve",), environment=FrozenMap({"API_KEY": "{secret:KEY}"}))
    bound = bind_process(spec, 0, _FACTS, secret)
    assert bound.environment == {"API_KEY": "hush"}
    assert "API_KEY" not in repr(bound) and "hush" not in repr(bound)
    for bad in (
        ProcessSpec(argv=("serve", "{secret:KEY}")),
        ProcessSpec(argv=("serve",), flags=FrozenMap({"--key": "{secret:KEY}"})),
    ):
        with pytest.raises(PluginError, match="the secret 'KEY' is not available here"):
            bind_process(bad, 0, _FACTS, secret)


def test_a_port_in_use_names_its_process() -> None:
    """In the error message."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(EngineError, match=f"port 127.0.0.1:{port} is in use by .*pid"):
            require_free("127.0.0.1", port)
    require_free("127.0.0.1", port)
    assert free_port() != free_port()


@pytest.mark.covers(
    "Launcher.allocate",
    "Launcher.start",
    "Deployment.endpoints",
    "Deployment.status",
    "Deployment.logs",
    "Deployment.cancel",
)
def test_a_local_deployment(tmp_path: Path) -> None:
    """Files written, symbols bound, logs kept, scratch removed, ports released."""
    spec = ProcessSpec(
        argv=("sh", "{file:run.sh}", "{scratch}"),
        flags=FrozenMap({"--port": "{port:http}"}),
        files=(FileSpec(name="run.sh", content='echo "$@"; sleep 60'),),
    )
    launcher = LocalLauncher(LauncherContext(logs=tmp_path))
    allocation = launcher.allocate(Resources(processes=(spec,)))
    deployment = launcher.start(LaunchPlan(processes=(spec,)), allocation)
    (endpoint,) = deployment.endpoints
    port = allocation.placements[0].ports["http"]
    assert endpoint.url == f"http://127.0.0.1:{port}"
    assert endpoint.metrics_url == f"{endpoint.url}/metrics"
    (state,) = deployment.status()
    assert state.exit_code is None
    while not (output := deployment.logs("server")):
        pass
    scratch, flag, shown = output.split()
    assert (flag, shown) == ("--port", str(port))
    assert Path(scratch).is_dir()
    deployment.cancel()
    deployment.cancel()
    assert not Path(scratch).exists()
    assert deployment.status()[0].exit_code is not None
    require_free("127.0.0.1", port)


@pytest.mark.covers("Launcher.allocate")
def test_too_many_accelerators_are_rejected(tmp_path: Path) -> None:
    """Before a process starts."""
    launcher = LocalLauncher(LauncherContext(devices=("0", "1"), logs=tmp_path))
    with pytest.raises(HardwareAbsent, match="4 accelerators requested, 2 available"):
        launcher.allocate(Resources(processes=(ProcessSpec(argv=("x",), accelerators=4),)))


def test_devices_are_not_shared(tmp_path: Path) -> None:
    """Two replicas with two devices each get different ones."""
    spec = ProcessSpec(argv=("sh", "-c", "echo {devices}; sleep 60"), replicas=2, accelerators=2)
    launcher = LocalLauncher(LauncherContext(devices=("0", "1", "2", "3"), logs=tmp_path))
    allocation = launcher.allocate(Resources(processes=(spec,)))
    plan = LaunchPlan(processes=(spec,), endpoints=(EndpointSpec(metrics_path=None),))
    deployment = launcher.start(plan, allocation)
    try:
        while len(output := deployment.logs("server").split()) < 2:
            pass
        assert output == ["0,1", "2,3"]
    finally:
        deployment.cancel()


@pytest.mark.covers("Launcher.run_on", "Launcher.put", "Launcher.get", "Launcher.attach")
def test_commands_files_and_attach(tmp_path: Path) -> None:
    """The methods that matter mostly for clusters."""
    launcher = LocalLauncher(LauncherContext(logs=tmp_path))
    assert launcher.run_on("localhost", ["echo", "hi"], timeout_s=5).stdout == "hi\n"
    (tmp_path / "a").write_text("x")
    launcher.put("localhost", tmp_path / "a", str(tmp_path / "b"))
    launcher.get("localhost", str(tmp_path / "b"), tmp_path / "c")
    assert (tmp_path / "c").read_text() == "x"
    with pytest.raises(EngineError, match=r"did not exit within 0\.1 s"):
        launcher.run_on("localhost", ["sleep", "9"], timeout_s=0.1)
    with pytest.raises(EngineError, match="none to attach to"):
        launcher.attach("local")
