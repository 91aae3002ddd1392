"""Options: which BMC, and no secret in what is sent to a host."""

from __future__ import annotations

import json

import pytest
from tokenbench_hardware_bmc.hardware import HostPower
from tokenbench_hardware_bmc.options import BmcOptions

LOGIN = {"user": "admin", "password_env": "BMC_PASSWORD"}


def test_options_have_the_name_of_the_variable_only(monkeypatch) -> None:
    """The program's options do not have the password, and leave out what is not set."""
    monkeypatch.setenv("BMC_PASSWORD", "hunter2")
    options = BmcOptions(url="https://{hostname}-bmc.example", **LOGIN)
    program = HostPower(options).program()
    assert dict(program.options) == {"url": "https://{hostname}-bmc.example", **LOGIN}
    assert "hunter2" not in json.dumps(dict(program.options))
    assert dict(HostPower(BmcOptions()).program().options) == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"host": "a", "url": "https://b", **LOGIN}, "give one of them"),
        ({"host": "a"}, "needs user and password_env"),
        ({"user": "admin", "password_env": "X"}, "belong to host or url"),
        ({"url": "http://b", **LOGIN}, "clear text"),
        ({"url": "https://admin:pw@b", **LOGIN}, "must not contain"),
        ({"host": "-H", **LOGIN}, "expected the name or address"),
        ({"host": "a b", **LOGIN}, "expected the name or address"),
        ({"host": "a", "chassis": "1", **LOGIN}, "chassis belongs to url"),
        ({"url": "https://b", "chassis": "../1", **LOGIN}, "expected the Id"),
        ({"url": "https://b", "port": 623, **LOGIN}, "belong to host"),
        ({"host": "a", "user": "u", "password_env": "not a name"}, "NAME of an environment"),
    ],
)
def test_options_that_do_not_fit(given: dict[str, object], message: str) -> None:
    """Each is refused with what is expected."""
    with pytest.raises(ValueError, match=message):
        BmcOptions(**given)
