"""Through a proxy: CONNECT on the load workers' sockets, and answers of proxies that refuse."""

from __future__ import annotations

import ssl

import pytest

from tokenbench.api import (
    COMPLETIONS,
    Access,
    Dialect,
    SingleTurn,
    Stop,
    Target,
    TextPrompt,
    Turn,
)
from tokenbench.load.codecs import find_codec
from tokenbench.load.generate import generate

from .peers import Peer, answer_all, run_phase_here, whole

TURN = SingleTurn(Turn(prompt=TextPrompt("a"), max_tokens=3))
ACCESS = Access(proxy=True, verify=False)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            "refuses the connection: HTTP/1.1 407",
        ),
        (
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
            "refuses the connection: HTTP/1.1 403",
        ),
        (b"SSH-2.0-x\r\n\r\n", "refuses the connection: SSH-2.0-x"),
        (b"HTTP/1.1 200", "the proxy closed the connection"),
        (b"", "the proxy closed the connection"),
    ],
)
def test_a_proxy_that_opens_no_tunnel(answer, told, start_server, tmp_path, monkeypatch) -> None:
    """Its answer is the reason of the failure; nothing of a request reaches it."""
    heads = []

    def script(peer: Peer) -> None:
        heads.append(peer.head())
        peer.send(answer)

    monkeypatch.setenv("HTTPS_PROXY", start_server(script).url)
    found = run_phase_here(
        "https://api.invalid", tmp_path, [TURN], stop=Stop(requests=1), access=ACCESS
    )
    assert found.statuses == ["CONNECT"] and told in found.errors[0]
    assert all(head.startswith("CONNECT api.invalid:443 HTTP/1.1\r\nHost: ") for head in heads)


def test_a_rate_limit_is_a_class_of_its_own(start_server, tmp_path) -> None:
    """With what its headers say, in any case; other statuses stay HTTP."""

    def script(peer: Peer) -> None:
        for head in (
            b"HTTP/1.1 429 Slow Down\r\nRETRY-AFTER: 3\r\nx-ratelimit-remaining-tokens: 0\r\n",
            b"HTTP/1.1 503 Busy\r\nRetry-After: 3\r\n",
        ):
            peer.request()
            peer.send(whole(b"slow down", head))
        answer_all(peer)

    found = run_phase_here(start_server(script).url, tmp_path, [TURN] * 3, stop=Stop(requests=3))
    assert found.statuses == ["RATE_LIMITED", "HTTP", "OK"]
    assert found.errors == (
        "rate_limited: HTTP 429: slow down (retry-after: 3, x-ratelimit-remaining-tokens: 0)",
        "http: HTTP 503: slow down",
    )


def test_secrets_in_answers_are_redacted(start_server, tmp_path, monkeypatch) -> None:
    """Of an error body and of a stream's error event, before the worker reports them."""
    monkeypatch.setenv("K", "sk-secret-1")

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(whole(b"no: sk-secret-1", b"HTTP/1.1 401 No\r\n"))
        peer.request()
        peer.send(whole(b'data: {"error":{"message":"sk-secret-1 is over"}}\n\n'))
        answer_all(peer)

    url = start_server(script).url
    found = run_phase_here(url, tmp_path, [TURN] * 2, stop=Stop(requests=2), api_key_env="K")
    assert len(found.errors) == 2 and all("***" in error for error in found.errors)
    assert b"sk-secret-1" not in b"".join(f.read_bytes() for f in tmp_path.iterdir())


@pytest.mark.parametrize("before", [0, 195, 490])
def test_a_secret_at_a_cut_is_hidden_too(before: int, start_server, tmp_path, monkeypatch) -> None:
    """Long messages are cut; no beginning of a secret is left."""
    monkeypatch.setenv("K", "sk-secret-1-and-more")

    def script(peer: Peer) -> None:
        while peer.request() is not None:
            peer.send(whole(b"x" * before + b"sk-secret-1-and-more", b"HTTP/1.1 429 No\r\n"))

    url = start_server(script).url
    found = run_phase_here(url, tmp_path, [TURN], stop=Stop(requests=1), api_key_env="K")
    target = Target(model="m", dialect=Dialect(codecs=(COMPLETIONS,)))
    turn = Turn(prompt=TextPrompt("a"), max_tokens=1)
    codec = find_codec(COMPLETIONS, None)
    said = generate(url, codec, turn, target, "sk-secret-1-and-more", timeout_s=5)
    for error in (found.errors[0], said.error or ""):
        assert "429" in error and "sk-" not in error


def test_no_tls_context_for_http() -> None:
    """A worker without https loads no certificates."""
    from tokenbench.load.target_url import TargetUrl

    assert TargetUrl("http://h", api_key=None).tls is None
    assert isinstance(TargetUrl("https://h", api_key=None).tls, ssl.SSLContext)
