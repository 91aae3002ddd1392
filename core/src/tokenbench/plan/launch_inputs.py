"""Checks the user's inputs to a launch plan before anything starts."""

from __future__ import annotations

import os
from collections.abc import Iterator

from tokenbench.api import LaunchPlan, UsageError, http_url, variable_name
from tokenbench.launch.secret import KEYRING
from tokenbench.launch.symbols import symbols
from tokenbench.suite.limits import MOST_DURATION_S

from .canonical import canonical_json

_SYMBOL = "secret:"
_WEIGHTS = "weights:"
_LONGEST_SHOWN = 40


def check_inputs(launch: LaunchPlan) -> None:
    """Check the addresses, environment variables and time limit of a launch plan.

    Raises:
        UsageError: one is invalid. The message shows no key.
    """
    limit_s = launch.start_timeout_s
    if limit_s > MOST_DURATION_S:
        raise UsageError(
            f"start_timeout_s: expected at most {MOST_DURATION_S:,.0f} s, got {limit_s:g}",
            hint="use a shorter time limit for the start",
        )
    _check_addresses(launch)
    _check_variables(launch)


def _check_addresses(launch: LaunchPlan) -> None:
    for endpoint in launch.endpoints if not launch.processes else ():
        try:
            http_url(endpoint.url)
        except ValueError as error:
            raise UsageError(
                f"the address of the server: {error}", hint="for example http://127.0.0.1:8000"
            ) from None


def _check_variables(launch: LaunchPlan) -> None:
    for header, variable in launch.access.headers_env.items():
        _value(variable, f"the header {header}")
    if launch.api_key_env is not None and not launch.api_key_env.startswith(KEYRING):
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


def named_weights(launch: LaunchPlan) -> tuple[str, ...]:
    """The names of the extra weights that a plan needs: those of its symbols ``{weights:NAME}``."""
    found: dict[str, None] = {}
    for process in launch.processes:
        render = process.grammar.render
        flags = (text for flag, value in process.flags.items() for text in render(flag, value))
        # The texts of a file with a mapping may contain symbols; one with text has none.
        files = (canonical_json(f.content) for f in process.files if not isinstance(f.content, str))
        program = (*process.wrap, *process.argv)
        for text in (*program, *flags, *process.environment.values(), *files):
            for symbol in symbols(text):
                if symbol.startswith(_WEIGHTS):
                    found[symbol.removeprefix(_WEIGHTS)] = None
    return tuple(found)


def _secrets(launch: LaunchPlan) -> Iterator[str]:
    for process in launch.processes:
        for text in process.environment.values():
            for symbol in symbols(text):
                if symbol.startswith(_SYMBOL):
                    yield symbol.removeprefix(_SYMBOL)


def _value(name: str, what: str) -> str:
    value = os.environ.get(name)
    if not value:
        # The user may have given the key itself instead of the name: do not show it.
        shown = name if name.isupper() and len(name) <= _LONGEST_SHOWN else "with that name"
        state = "not set" if value is None else "empty"
        raise UsageError(
            f"the environment variable {shown}, for {what}, is {state}",
            hint="export it before starting bench; give bench its name, never the key itself",
        )
    return value
