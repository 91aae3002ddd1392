"""Notes about the connection to the server that a reader of the results must know."""

from __future__ import annotations

from tokenbench.api import Access
from tokenbench.launch.proxy import find_proxy


def access_notes(url: str, access: Access) -> list[str]:
    """Notes for the console and the results."""
    notes = []
    if url.startswith("https:") and not access.verify:
        notes.append(
            "WARNING: the server's certificate is not verified (verify=false): anyone on the "
            "network path can read the API key and change the answers"
        )
    proxy = find_proxy(url, access)
    if proxy is not None:
        notes.append(f"requests go through the proxy {proxy.url}: latencies include its delay")
    return notes
