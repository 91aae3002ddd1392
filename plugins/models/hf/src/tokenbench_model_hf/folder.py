"""The files of a model's folder. Errors name the cause of an unusable folder."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from tokenbench.api import UsageError

_GGUF, _LFS = b"GGUF", b"version https://git-lfs"
_COMMIT = re.compile(r"[0-9a-f]{40}")
# Files that describe a model and can change its answers; weights are not among them.
SMALL_FILES = ("*.json", "*.jinja", "*.model", "*.tiktoken", "README.md")


@attrs.frozen(kw_only=True)
class Folder:
    """A folder with a model's or an adapter's files. `commit`: of the repository, where known."""

    path: Path
    commit: str | None = None

    def json(self, name: str) -> Mapping[str, Any]:
        """A JSON file's mapping; empty if there is no such file.

        Raises:
            UsageError: it cannot be read, or is not a mapping.
        """
        file = self.path / name
        if not file.exists():
            return {}
        hint = "download it again, or correct it"
        try:
            data = json.loads(self.text(name))
        except json.JSONDecodeError as error:
            raise UsageError(f"{file}:{error.lineno}: {error.msg}", hint=hint) from None
        if not isinstance(data, dict):
            kind = type(data).__name__
            raise UsageError(f"{file}: expected a mapping of keys, got a {kind}", hint=hint)
        return data

    def text(self, name: str) -> str:
        """A text file's content.

        Raises:
            UsageError: it cannot be read.
        """
        file = self.path / name
        try:
            content = file.read_bytes()
        except OSError as error:
            raise UsageError(
                f"cannot read {file}: {error.strerror}", hint="check the file's permissions"
            ) from None
        if content.startswith(_LFS):
            raise _pointer(file)
        try:
            return content.decode("utf-8")
        except UnicodeDecodeError:
            raise UsageError(
                f"{file} is not text in UTF-8", hint="download it again, or correct it"
            ) from None

    @property
    def revision(self) -> str:
        """The commit, or a hash of the small files and of the names and sizes of all others."""
        return self.commit or self._content_hash()

    def _content_hash(self) -> str:
        digest = hashlib.sha256()
        small = set(_small(self.path))
        for file in sorted(self.path.iterdir()):
            if file.is_file() and not file.name.startswith("."):
                digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
                digest.update(file.read_bytes() if file in small else b"")
        return f"sha256:{digest.hexdigest()[:40]}"


def open_folder(text: str) -> Folder:
    """A folder on this machine.

    Raises:
        UsageError: it is not there, or not a folder.
    """
    path = Path(text).expanduser()
    if path.is_file():
        raise _a_file(path)
    if not path.is_dir():
        raise UsageError(
            f"there is no folder {path}",
            hint="check the path; for a repository on the hub write id=ORG/NAME",
        )
    return Folder(path=path, commit=_commit_of(path))


def check_model(folder: Folder) -> Mapping[str, Any]:
    """The config.json of a model's folder.

    Raises:
        UsageError: the folder holds something else, or the file is damaged.
    """
    config = folder.json("config.json")
    if (folder.path / "config.json").exists():
        if not any(key in config for key in ("model_type", "architectures", "num_hidden_layers")):
            raise UsageError(
                f"{folder.path / 'config.json'} describes no model: it has no model_type",
                hint="name the folder of the model itself",
            )
        return config
    raise _no_model(folder)


def _no_model(folder: Folder) -> UsageError:
    path = folder.path
    names = sorted(file.name for file in path.iterdir())
    if "adapter_config.json" in names:
        base = folder.json("adapter_config.json").get("base_model_name_or_path")
        return UsageError(
            f"{path} holds a LoRA adapter alone, for the model {base or 'that it does not name'}",
            hint="set the model, and the adapter as well: hf:path=MODEL,adapter=THIS_FOLDER",
        )
    if found := [name for name in names if name.endswith(".gguf")]:
        return _gguf(path / found[0])
    if "model_index.json" in names:
        return UsageError(
            f"{path} holds a diffusion pipeline, not a language model",
            hint="name the folder of a language model",
        )
    if "params.json" in names:
        return UsageError(
            f"{path} holds weights in their author's own format: params.json, no config.json",
            hint="download the repository's files for Hugging Face transformers",
        )
    inner = [name for name in names if (path / name / "config.json").exists()]
    if inner:
        return UsageError(
            f"{path} has no config.json, but its folder {inner[0]} has one",
            hint=f"did you mean path={path / inner[0]}?",
        )
    what = "is empty" if not names else "has no config.json"
    return UsageError(
        f"{path} {what}", hint="name the folder that contains the model's config.json"
    )


def _a_file(path: Path) -> UsageError:
    with path.open("rb") as file:
        start = file.read(len(_LFS))
    if start.startswith(_GGUF):
        return _gguf(path)
    return UsageError(f"{path} is a file, not a folder", hint=f"did you mean path={path.parent}?")


def _gguf(path: Path) -> UsageError:
    return UsageError(
        f"{path} is a GGUF file, not a model in the format of Hugging Face",
        hint="name a folder with config.json and safetensors files",
    )


def _pointer(file: Path) -> UsageError:
    return UsageError(
        f"{file} is a pointer of Git LFS, not the file itself",
        hint=f"run `git lfs pull` in {file.parent}",
    )


def check_no_pointer(file: Path) -> None:
    """Raises UsageError if Git LFS did not fetch the file."""
    with file.open("rb") as opened:
        if opened.read(len(_LFS)) == _LFS:
            raise _pointer(file)


def _small(path: Path) -> list[Path]:
    return sorted({file for pattern in SMALL_FILES for file in path.glob(pattern)})


def _commit_of(path: Path) -> str | None:
    """The commit of a snapshot in the hub's cache, or of files that huggingface_hub downloaded to a
    folder and nobody changed.
    """
    real = path.resolve()
    if real.parent.name == "snapshots" and _COMMIT.fullmatch(real.name):
        return real.name
    commits = {_downloaded_commit(file) for file in _small(path)}
    return commits.pop() if len(commits) == 1 else None


def _downloaded_commit(file: Path) -> str | None:
    """Its commit, if its content has the hash that was recorded with it: the first two lines of
    ``.cache/huggingface/download/NAME.metadata`` are commit and ETag, and the ETag is git's hash of
    the content, or with Git LFS its SHA-256 (huggingface_hub 1.x, _local_folder.py, read 2026-11).
    """
    record = file.parent / ".cache" / "huggingface" / "download" / f"{file.name}.metadata"
    try:
        commit, etag, *_ = record.read_text(encoding="utf-8").splitlines()
        content = file.read_bytes()
    except (OSError, ValueError):
        return None
    git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    known = (git, hashlib.sha256(content).hexdigest())
    return commit if etag.strip('"') in known and _COMMIT.fullmatch(commit) else None
