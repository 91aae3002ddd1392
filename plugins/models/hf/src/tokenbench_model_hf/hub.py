"""Repositories on the hub: their small files, from the local cache or downloaded."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tokenbench.api import OptionalFeatureMissing, UsageError

from .folder import SMALL_FILES, Folder

_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def is_hub_id(text: str) -> bool:
    """Whether a text has the form ORG/NAME and is no folder here."""
    return _NAME.fullmatch(text) is not None and not Path(text).expanduser().exists()


def open_repository(name: str, revision: str | None) -> Folder:
    """The repository's snapshot in the local cache, with the small files fetched if need be.

    Raises:
        UsageError: it is not in the cache and cannot be fetched.
        OptionalFeatureMissing: huggingface_hub is not installed.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no repository on the hub", hint="write id=ORG/NAME")
    try:
        import huggingface_hub
    except ImportError as error:
        raise OptionalFeatureMissing(
            "model hf: the option id needs the library huggingface_hub",
            hint="pip install 'tokenbench-model-hf[hub]', or name a folder with path=",
        ) from error
    from huggingface_hub import constants, errors

    def snapshot(*, local: bool) -> Path:
        found = huggingface_hub.snapshot_download(
            name, revision=revision, allow_patterns=list(SMALL_FILES), local_files_only=local
        )
        return Path(found)

    try:
        path = snapshot(local=True)
    except errors.LocalEntryNotFoundError:
        path = None
    except (errors.HFValidationError, ValueError) as error:
        raise UsageError(f"{name!r}: {error}", hint="write id=ORG/NAME") from error
    if path is None or not _complete(path):
        shown = f"{name} at revision {revision}" if revision else name
        if constants.HF_HUB_OFFLINE:
            raise UsageError(
                f"{shown} is not in the local cache of the hub, and HF_HUB_OFFLINE is set",
                hint=f"download it while online: hf download {name}",
            )
        path = _fetch(shown, lambda: snapshot(local=False))
    return Folder(path=path, commit=path.name)


def _complete(path: Path) -> bool:
    return any((path / name).exists() for name in ("config.json", "adapter_config.json"))


def _fetch(shown: str, download: Callable[[], Path]) -> Path:
    from huggingface_hub import errors

    log_in = "for a private one log in: hf auth login"
    causes = (
        (errors.GatedRepoError, "its licence must be accepted", "accept it on the hub, and log in"),
        (
            errors.RepositoryNotFoundError,
            "there is no such repository",
            f"check its name; {log_in}",
        ),
        (errors.RevisionNotFoundError, "it has no such revision", "name a branch, tag or commit"),
    )
    try:
        return download()
    except Exception as error:  # The library lets errors of its HTTP client through.
        for kind, reason, hint in causes:
            if isinstance(error, kind):
                raise UsageError(
                    f"cannot fetch {shown} from the hub: {reason}", hint=hint
                ) from error
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(
            f"{shown} is not in the local cache, and the hub cannot be reached: {first}",
            hint="check the connection, or name a folder with path=",
        ) from error
