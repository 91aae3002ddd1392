"""Names that look like those of secrets."""

from __future__ import annotations

_WORDS = frozenset(
    ("KEY", "KEYS", "TOKEN", "SECRET", "SECRETS", "PASSWORD", "CREDENTIAL", "CREDENTIALS")
)


def looks_secret(name: str) -> bool:
    """Whether an environment variable's name ends like a secret's: ``HF_TOKEN``, ``API_KEY``."""
    return name.upper().rpartition("_")[2] in _WORDS
