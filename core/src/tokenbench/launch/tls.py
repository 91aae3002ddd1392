"""Certificates."""

from __future__ import annotations

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
    import ssl

    try:
        context = ssl.create_default_context(cafile=access.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"cannot read certificates from {access.ca_file}: {error.strerror or error}",
            hint="name a file with certificates in PEM format",
        ) from None
    if not access.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
