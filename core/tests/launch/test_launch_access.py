"""The way to a server: proxies of the environment, secrets, certificates."""

from __future__ import annotations

import sys
import types

import pytest

from tokenbench.api import Access, FrozenMap, OptionalFeatureMissing, UsageError
from tokenbench.launch.proxy import find_proxy
from tokenbench.launch.secret import read_secret, redact, request_headers, secrets
from tokenbench.launch.tls import tls_context

PROXIED = Access(proxy=True)
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own variables do not count."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("variables", "url", "expected"),
    [
        ({"HTTPS_PROXY": "http://p:3128"}, "https://api.example", "http://p:3128"),
        ({"https_proxy": "p:3128"}, "https://api.example", "http://p:3128"),
        ({"https_proxy": "a:1", "HTTPS_PROXY": "b:2"}, "https://api.example", "http://a:1"),
        ({"ALL_PROXY": "http://[::2]:1"}, "http://api.example:8000", "http://[::2]:1"),
        ({"HTTPS_PROXY": "http://p"}, "http://api.example", None),
        ({"HTTP_PROXY": "http://p"}, "http://localhost:8000", None),
        ({"HTTP_PROXY": "http://p"}, "http://127.0.0.1:8000", None),
        ({"HTTP_PROXY": "http://p"}, "http://[::1]:8000", None),
        ({"HTTP_PROXY": "http://p"}, "http://10.1.2.3:8000", "http://p:80"),
        ({"HTTP_PROXY": "p", "NO_PROXY": "10.0.0.0/8, x"}, "http://10.1.2.3:8000", None),
        ({"HTTP_PROXY": "p", "NO_PROXY": "example"}, "http://api.example:8000", None),
        ({"HTTP_PROXY": "p", "NO_PROXY": ".example"}, "http://api.example:8000", None),
        ({"HTTP_PROXY": "p", "NO_PROXY": "api.example:9"}, "http://api.example:8", "http://p:80"),
        ({"HTTP_PROXY": "p", "NO_PROXY": "*"}, "http://api.example", None),
        ({}, "http://api.example", None),
    ],
)
def test_which_proxy(variables, url, expected, monkeypatch: pytest.MonkeyPatch) -> None:
    """As curl chooses it, except that this machine is always reached directly."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = find_proxy(url, PROXIED)
    assert (None if found is None else found.url) == expected
    assert find_proxy(url, Access()) is None


@pytest.mark.parametrize(
    "address", ["socks5h://u:hush-99@p:1080", "https://u:hush-99@p", "http://"]
)
def test_proxies_of_other_kinds_are_refused(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not bypassed; without their password."""
    monkeypatch.setenv("ALL_PROXY", address)
    with pytest.raises(UsageError, match="only HTTP proxies") as caught:
        find_proxy("http://api.example", PROXIED)
    assert "hush" not in f"{caught.value.message} {caught.value.hint}"


def test_the_password_of_a_proxy_is_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """In every form in which a proxy may repeat it; and never in its repr."""
    monkeypatch.setenv("HTTP_PROXY", "http://me:hush%2D99@p:1")
    url = "http://api.example"
    proxy = find_proxy(url, PROXIED)
    assert proxy is not None and proxy.headers == {"Proxy-Authorization": "Basic bWU6aHVzaC05OQ=="}
    assert "hush" not in repr(proxy) and "bWU6" not in repr(proxy)
    said = f"no {proxy.headers} hush-99 sk-12345"
    assert redact(said, secrets(url, PROXIED, "sk-12345")).count("***") == 3


def test_secrets_come_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unset variable is an error; a value that cannot be sent is not shown."""
    monkeypatch.setenv("A_KEY", "v-123456")
    access = Access(headers=FrozenMap({"X-A": "1"}), headers_env=FrozenMap({"api-key": "A_KEY"}))
    assert request_headers(access, "k") == {
        "Authorization": "Bearer k",
        "api-key": "v-123456",
        "X-A": "1",
    }
    assert secrets("http://h", access, "none") == ("v-123456",)
    monkeypatch.setenv("A_KEY", "v-1\r\nX: y")
    with pytest.raises(UsageError, match="variable A_KEY is not valid") as caught:
        request_headers(access, None)
    assert "v-1" not in f"{caught.value.message} {caught.value.hint}"
    monkeypatch.setenv("A_KEY", "")
    with pytest.raises(UsageError, match="variable A_KEY is not set"):
        request_headers(access, None)


def test_a_key_of_the_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked up once, then handed on in a variable; what goes wrong is a message."""
    asked = []
    store = {("llm", "me"): "sk-ring-1"}

    def get_password(service: str, user: str) -> str | None:
        asked.append((service, user))
        if service == "locked":
            raise RuntimeError("sk-ring-1")
        return store.get((service, user))

    fake = types.SimpleNamespace(get_password=get_password)
    monkeypatch.setitem(sys.modules, "keyring", fake)
    environment: dict[str, str] = {}
    monkeypatch.setattr("os.environ", environment)
    assert read_secret("keyring:llm/me") == read_secret("keyring:llm/me") == "sk-ring-1"
    assert asked == [("llm", "me")]
    assert list(environment.values()) == ["sk-ring-1"]
    assert all("llm" not in name and name.endswith("_KEY") for name in environment)
    with pytest.raises(UsageError, match="has no entry for 'llm/you'"):
        read_secret("keyring:llm/you")
    with pytest.raises(UsageError, match="cannot be read: RuntimeError") as caught:
        read_secret("keyring:locked/me")
    assert "sk-ring" not in caught.value.message
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(OptionalFeatureMissing):
        read_secret("keyring:llm/other")


def test_certificates(tmp_path) -> None:
    """None for http; a file without certificates is a message."""
    assert tls_context(Access(), "http://h") is False
    context = tls_context(Access(verify=False), "https://h")
    assert not isinstance(context, bool) and not context.check_hostname
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(UsageError, match="cannot read certificates from"):
        tls_context(Access(ca_file=str(tmp_path / "ca.pem")), "https://h")
