"""What a launch plan takes from outside, checked before anything starts: addresses and keys."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tokenbench.api import LaunchPlan, UsageError, http_url, variable_name
from tokenbench.api.binding import symbols

_SYMBOL = "secret:"
_LONGEST_SHOWN = 40


def check_addresses(launch: LaunchPlan) -> None:
    """Check the addresses of servers that are already running.

    Raises:
        UsageError: one is not the URL of a server.
    """
    for endpoint in launch.endpoints if not launch.processes else ():
        try:
            http_url(endpoint.url)
        except ValueError as error:
            raise UsageError(
                f"the address of the server: {error}", hint="for example http://127.0.0.1:8000"
            ) from None


def check_variables(launch: LaunchPlan) -> None:
    """Check that every variable with a key or a secret is set and can be sent.

    Raises:
        UsageError: one is not. No value is shown.
    """
    if launch.api_key_env is not None:
        name = launch.api_key_env
        try:
            variable_name(name)
        except ValueError as error:
            raise UsageError(
                f"api_key_env: {error}",
                hint="put the key into a variable and give that variable's name",
            ) from None
        value = _value(name, "the API key")
        if not (value.isascii() and value.isprintable()):
            raise UsageError(
                f"the API key in the environment variable {name} cannot be sent in an HTTP header",
                hint="only printable ASCII characters are allowed; check the key for a line break",
            )
    for name in dict.fromkeys(_secrets(launch)):
        _value(name, "a secret")


def _secrets(launch: LaunchPlan) -> Iterator[str]:
    for process in launch.processes:
        for text in process.environment.values():
            for symbol in symbols(text):
                if symbol.startswith(_SYMBOL):
                    yield symbol.removeprefix(_SYMBOL)


def _value(name: str, what: str) -> str:
    value = os.environ.get(name)
    if not value:
        # A key that stands where its variable's name belongs is not repeated.
        shown = name if name.isupper() and len(name) <= _LONGEST_SHOWN else "with that name"
        state = "not set" if value is None else "empty"
        raise UsageError(
            f"the environment variable {shown}, for {what}, is {state}",
            hint="export it before starting bench; the name is given, never the key itself",
        )
    return value
