"""Binding of symbols."""

from __future__ import annotations

import json
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenbench.api import (
    EngineError,
    FlagGrammar,
    FrozenMap,
    Host,
    Placement,
    PluginError,
    PortBlock,
    ProcessSpec,
)
from tokenbench.launch.ports import free_port, require_free
from tokenbench.launch.symbols import bind, bind_process, symbol_values, symbols

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
    bound = bind_process(spec, "server-0", _FACTS, {})
    assert bound.argv == ("serve", "/w", "--b", "1", "--a", "--many", "1", "2")
    assert FlagGrammar().render("--x", 0) == ("--x", "0")


def test_secrets_are_allowed_in_the_environment_only() -> None:
    """All users can read argv in the process list."""
    secret = {"KEY": "hush"}
    spec = ProcessSpec(argv=("serve",), environment=FrozenMap({"API_KEY": "{secret:KEY}"}))
    bound = bind_process(spec, "server-0", _FACTS, secret)
    assert bound.environment == {"API_KEY": "hush"}
    assert "API_KEY" not in repr(bound) and "hush" not in repr(bound)
    for bad in (
        ProcessSpec(argv=("serve", "{secret:KEY}")),
        ProcessSpec(argv=("serve",), flags=FrozenMap({"--key": "{secret:KEY}"})),
    ):
        with pytest.raises(PluginError, match="the secret 'KEY' is not available here"):
            bind_process(bad, "server-0", _FACTS, secret)


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


def test_values_of_the_process_beside() -> None:
    """Each replica of a sidecar knows the ports of the server with its own number."""
    processes = (
        ProcessSpec(role="d", argv=("x",), replicas=2),
        ProcessSpec(role="side", argv=("x",), replicas=2, beside="d"),
    )
    hosts = [Host(name=n, address=f"10.0.0.{n}") for n in "12"]
    placements = [
        Placement(role=role, index=i, host=hosts[i], ports=FrozenMap(http=first + i))
        for role, first in (("d", 80), ("side", 90))
        for i in (0, 1)
    ]
    values = symbol_values(placements, processes, placements[3])
    text = "{port:http} {beside.host}:{beside.port:http}"
    assert bind(text, values, "here") == "91 10.0.0.2:81"
    with pytest.raises(PluginError, match="unknown symbol"):
        bind("{beside.host}", symbol_values(placements, processes, placements[0]), "here")


def test_values_of_one_process() -> None:
    """Its own, its leader's, and rank 0 of every replica; blocks of ports as a whole."""
    processes = (
        ProcessSpec(role="d", argv=("x",), ports=("http", PortBlock(name="kv", count=3)), ranks=2),
        ProcessSpec(role="router", argv=("x",)),
    )
    ports = FrozenMap({"http": 80, "kv": 90})
    first, second = (Host(name=n, address=f"10.0.0.{n}") for n in "12")
    placements = [
        Placement(role="d", index=0, host=first, ports=ports, devices=("0", "1")),
        Placement(role="d", index=0, rank=1, host=second, ports=ports, devices=("4",)),
        Placement(role="router", index=0, host=first, ports=FrozenMap(http=81)),
    ]
    values = symbol_values(placements, processes, placements[1])
    text = "{host} {port:http} {ports:kv} {index} {rank} {leader.host} {leader.port:kv} {hosts}"
    assert bind(text, values, "here") == "10.0.0.2 80 90,91,92 0 1 10.0.0.1 90 10.0.0.1,10.0.0.2"
    assert bind("{devices} {router.0.port:http} {d.0.host}", values, "here") == "4 81 10.0.0.1"
    assert "host" not in symbol_values(placements, processes, None)
