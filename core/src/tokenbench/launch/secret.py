"""Secrets: reading them, and redacting them from everything that is written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable

from tokenbench.api import Access, OptionalFeatureMissing, UsageError

from .proxy import find_proxy

KEYRING = "keyring:"
_HIDDEN = "***"
_SHORTEST = 6


def read_secret(reference: str | None) -> str | None:
    """The secret that `reference` names: an environment variable, or ``keyring:SERVICE/USER``.

    A secret of the keyring is looked up once and then handed to child processes in a variable.

    Raises:
        UsageError: the variable is not set or cannot be sent, or the keyring has no such entry.
        OptionalFeatureMissing: the library `keyring` is not installed.
    """
    if reference is None:
        return None
    if reference.startswith(KEYRING):
        name = f"TOKENBENCH_{hashlib.sha256(reference.encode()).hexdigest()[:12].upper()}_KEY"
        if name not in os.environ:
            os.environ[name] = _from_keyring(reference.removeprefix(KEYRING))
        return os.environ[name]
    value = os.environ.get(reference)
    if not value:
        raise UsageError(
            f"the environment variable {reference} is not set",
            hint=f"set it to the key: export {reference}=...",
        )
    _check_sendable(value, f"the value of the variable {reference}")
    return value


def _from_keyring(entry: str) -> str:
    try:
        import keyring
    except ImportError as error:
        raise OptionalFeatureMissing(
            "a key from the keyring needs the library keyring", hint="pip install keyring"
        ) from error
    service, _, user = entry.partition("/")
    try:
        found = keyring.get_password(service, user)
    except Exception as error:  # Each backend has its own: locked, no session bus.
        raise UsageError(
            f"the keyring cannot be read: {type(error).__name__}",
            hint="unlock it, or put the key into a variable and name that with api_key_env",
        ) from None
    if not found:
        raise UsageError(
            f"the keyring has no entry for {entry!r}",
            hint=f"store it: keyring set {service} {user or 'USER'}",
        )
    return str(found)


def request_headers(access: Access, api_key: str | None) -> dict[str, str]:
    """The headers of every request, with the API key.

    Raises:
        UsageError: a variable is not set, or a value cannot be sent.
    """
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    headers |= {name: read_secret(source) or "" for name, source in access.headers_env.items()}
    for name, value in {**headers, **access.headers}.items():
        _check_sendable(value, f"the value of the header {name}")
    return {**headers, **access.headers}


def _check_sendable(value: str, what: str) -> None:
    if not (value.isascii() and value.isprintable()):
        # A line break would start another header.
        raise UsageError(
            f"{what} is not valid in an HTTP header",
            hint="remove line breaks and characters that are not printable ASCII",
        )


def secrets(url: str, access: Access, api_key: str | None) -> tuple[str, ...]:
    """Every value that must not be written anywhere: keys, secret headers, the proxy's password."""
    values = [api_key, *(os.environ.get(name) for name in access.headers_env.values())]
    proxy = find_proxy(url, access)
    values += proxy.secrets if proxy is not None else ()
    # "none" and similar values mean no key, and are parts of other words.
    return tuple(value for value in values if value and len(value) >= _SHORTEST)


def redact(text: str, hidden: Iterable[str]) -> str:
    """`text` without secrets: servers and proxies repeat headers in their error messages.

    `text` may have been cut, so the beginning of a secret at its end is hidden too.
    """
    for value in hidden:
        text = text.replace(value, _HIDDEN)
        for length in range(min(len(value) - 1, len(text)), 2, -1):
            if text.endswith(value[:length]):
                text = text[:-length] + _HIDDEN
                break
    return text
