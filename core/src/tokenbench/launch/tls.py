"""Certificates."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from tokenbench.api import Access, UsageError

if TYPE_CHECKING:
    import ssl


def tls_context(access: Access, *urls: str) -> ssl.SSLContext | bool:
    """The TLS context of all requests; False if no URL is https, because loading the certificates
    takes longer than a request.

    Raises:
        UsageError: the file with the certificates cannot be read.
    """
    if not any(url.startswith("https:") for url in urls):
        return False
    system = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    return _context(access.ca_file, access.verify, system)


@functools.cache
def _context(
    ca_file: str | None, verify: bool, system: tuple[str | None, str | None]
) -> ssl.SSLContext:
    """The context, loaded once. `system`: the variables that OpenSSL reads."""
    import ssl

    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"cannot read certificates from {ca_file}: {error.strerror or error}",
            hint="name a file with certificates in PEM format",
        ) from None
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
