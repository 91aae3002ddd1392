"""Options of the hardware `bmc`."""

from __future__ import annotations

import re

from tokenbench.api import http_url, option, options, variable_name

HOSTNAME = "{hostname}"
_HOST = re.compile(r"[A-Za-z0-9._:\[\]][A-Za-z0-9._:%\[\]-]*")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def _host(text: str) -> None:
    if not _HOST.fullmatch(text.replace(HOSTNAME, "host")):
        raise ValueError(f"expected the name or address of a BMC, got {text!r}")


def _url(text: str) -> None:
    http_url(text.replace(HOSTNAME, "host"))


def _chassis(text: str) -> None:
    if not _NAME.fullmatch(text):
        raise ValueError(f"expected the Id of a chassis, got {text!r}")


@options
class BmcOptions:
    """Which BMC: without `host` and `url`, this host's own by IPMI (``/dev/ipmi0``).

    In `host` and `url`, ``{hostname}`` stands for the name of the host that is measured.
    """

    host: str | None = option(
        default=None, check=_host, identity=False, help="a BMC in the network, by IPMI (RMCP+)"
    )
    port: int | None = option(
        default=None,
        minimum=1,
        maximum=65535,
        identity=False,
        help="UDP port of host; default: 623",
    )
    cipher_suite: int | None = option(
        default=None,
        minimum=1,
        maximum=17,
        identity=False,
        help="RMCP+ cipher suite of host, 3 or 17; default: ipmitool asks the BMC, which some "
        "BMCs answer slowly",
    )
    url: str | None = option(
        default=None, check=_url, identity=False, help="a BMC by Redfish, as https://HOST"
    )
    user: str | None = option(default=None, identity=False, help="user on the BMC")
    password_env: str | None = option(
        default=None,
        check=variable_name,
        identity=False,
        help="NAME of the environment variable with the password, on the measured host",
    )
    chassis: str | None = option(
        default=None,
        check=_chassis,
        help="Redfish Id of the chassis to read; default: the only one that reports its power",
    )
    insecure: bool = option(
        default=False,
        identity=False,
        help="accept any certificate, and http:// addresses; this exposes the password",
    )

    def __attrs_post_init__(self) -> None:
        if self.host and self.url:
            raise ValueError("host is for IPMI, url for Redfish: give one of them")
        remote = self.host or self.url
        if remote and not (self.user and self.password_env):
            raise ValueError("a BMC in the network needs user and password_env")
        if not remote and (self.user or self.password_env):
            raise ValueError("user and password_env belong to host or url")
        if (self.port or self.cipher_suite) and not self.host:
            raise ValueError("port and cipher_suite belong to host")
        if self.chassis and not self.url:
            raise ValueError("chassis belongs to url")
        if self.url and self.url.startswith("http://") and not self.insecure:
            raise ValueError("http:// would send the password in clear text: use https://")
