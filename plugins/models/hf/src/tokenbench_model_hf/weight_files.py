"""Weight files: their size, and what the headers of safetensors files say of their tensors."""

from __future__ import annotations

import itertools
import json
import math
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from tokenbench.api import UsageError

from .folder import Folder, check_no_pointer

_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
# Data types whose elements are parameters; packed ones hold several per element.
_WHOLE = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2, "F8_E4M3": 1, "F8_E5M2": 1}
_SCALES = ("_scale", "_scale_inv", "scales", "_zero_point", "qzeros", "g_idx")
_LARGEST_HEADER = 100_000_000


@attrs.frozen(kw_only=True)
class WeightFiles:
    """`files` that are here; `size_bytes` of all, also of those that are not here yet; `tensors`:
    their names, as far as known.
    """

    files: tuple[Path, ...] = ()
    size_bytes: int | None = None
    tensors: frozenset[str] = frozenset()


def weight_files(folder: Folder, *, whole: bool) -> WeightFiles:
    """The weight files of a folder.

    Args:
        whole: a folder with a part of the files is an error.

    Raises:
        UsageError: files are missing, or are pointers of Git LFS.
    """
    for name in _INDEXES:
        if (folder.path / name).exists():
            return _indexed(folder, folder.json(name), name, whole=whole)
    patterns = ("*.safetensors", "pytorch_model*.bin")
    found = next((some for p in patterns if (some := sorted(folder.path.glob(p)))), [])
    for file in found:
        check_no_pointer(file)
    size = sum(file.stat().st_size for file in found) or None
    return WeightFiles(files=tuple(found), size_bytes=size)


def _indexed(folder: Folder, index: Mapping[str, Any], name: str, *, whole: bool) -> WeightFiles:
    places = index.get("weight_map")
    places = places if isinstance(places, Mapping) else {}
    wanted = sorted({str(file) for file in places.values()})
    here = [folder.path / file for file in wanted if (folder.path / file).is_file()]
    if whole and here and len(here) < len(wanted):
        missing = next(file for file in wanted if not (folder.path / file).is_file())
        raise UsageError(
            f"{folder.path}: {len(wanted) - len(here)} of {len(wanted)} weight files of {name} are "
            f"missing, the first is {missing}",
            hint="finish the download",
        )
    for file in here:
        check_no_pointer(file)
    if here and len(here) == len(wanted):
        size: int | None = sum(file.stat().st_size for file in here)
    else:
        total = (index.get("metadata") or {}).get("total_size")
        size = int(total) if isinstance(total, int | float) and total > 0 else None
    return WeightFiles(files=tuple(here), size_bytes=size, tensors=frozenset(places))


def headers(files: WeightFiles) -> dict[str, Mapping[str, Any]]:
    """Name to description of every tensor in the safetensors files; empty if one is unreadable.

    Format: 8 bytes with the length of the header, little-endian, then the header in JSON
    (huggingface/safetensors, README, read 2026-11).
    """
    found: dict[str, Mapping[str, Any]] = {}
    for file in files.files:
        if file.suffix != ".safetensors":
            return {}
        try:
            with file.open("rb") as opened:
                (length,) = struct.unpack("<Q", opened.read(8))
                if length > _LARGEST_HEADER:
                    return {}
                header = json.loads(opened.read(length))
        except (OSError, ValueError, struct.error):
            return {}
        if not isinstance(header, dict):
            return {}
        found |= {name: item for name, item in header.items() if isinstance(item, Mapping)}
    found.pop("__metadata__", None)
    return found


def parameters(tensors: Mapping[str, Mapping[str, Any]], layers: int | None) -> int | None:
    """Number of parameters without scales and MTP heads; None where weights are packed."""
    total = 0
    for name, tensor in tensors.items():
        if name.endswith(_SCALES) or is_mtp(name, layers):
            continue
        shape = tensor.get("shape")
        if tensor.get("dtype") not in _WHOLE or not isinstance(shape, list):
            return None
        total += math.prod(shape)
    return total or None


def main_dtype(tensors: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The data type of most tensors."""
    kinds = Counter(str(tensor.get("dtype")) for tensor in tensors.values())
    return kinds.most_common(1)[0][0] if kinds else None


def is_mtp(name: str, layers: int | None) -> bool:
    """Whether a tensor belongs to an MTP head: it is named so, or its layer is beyond the last."""
    parts = name.split(".")
    if "mtp" in name.lower():
        return True
    return layers is not None and any(number >= layers for number in _layer_numbers(parts))


def _layer_numbers(parts: list[str]) -> Iterator[int]:
    for before, part in itertools.pairwise(parts):
        if before == "layers" and part.isdecimal():
            yield int(part)
