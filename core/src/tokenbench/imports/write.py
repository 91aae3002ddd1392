"""A run directory from imported files."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from tokenbench import __version__
from tokenbench.api import PointResult, UsageError
from tokenbench.store.layout import RunDirectory, now
from tokenbench.store.results import rewrite_results, write_table

from .draft import Draft, results
from .facts import add
from .formats import read_file


@attrs.frozen(kw_only=True)
class Imported:
    """The result of an import. `rows`: measurements in the files."""

    directory: RunDirectory
    format: str
    rows: int
    results: tuple[PointResult, ...]
    notes: tuple[str, ...]


def import_files(
    files: Sequence[Path],
    base: Path,
    *,
    name: str | None,
    facts: Mapping[str, Any],
    sku: Callable[[str], str],
    command: str,
) -> Imported:
    """Read all files, then write one run directory in `base`; nothing is written if one is bad.

    Args:
        name: the format of all files; None to recognise it.
        facts: facts that the files do not state (see :mod:`tokenbench.imports.facts`).
        sku: the catalogue's name of an accelerator.
        command: the command line, for the provenance.

    Raises:
        UsageError: a file cannot be imported, or two files are of different formats.
        MachineError: the run directory cannot be written.
    """
    drafts: list[Draft] = []
    digests: dict[str, str] = {}
    chosen = name
    for file in files:
        found, read, data = read_file(file, sku, name)
        if chosen is not None and found != chosen:
            raise UsageError(
                f"{file}: has the format {found}, other files have {chosen}",
                hint="import files of one format at a time",
            )
        chosen = found
        digest = hashlib.sha256(data).hexdigest()
        if digest in digests.values():
            raise UsageError(f"{file}: the same content twice", hint="name each file once")
        digests[str(file)] = digest
        drafts += [add(draft, facts) for draft in read]
    assert chosen is not None
    directory = RunDirectory.create(base, f"import-{chosen}")
    try:
        return _write(directory, chosen, drafts, digests, command)
    except BaseException:
        shutil.rmtree(directory.path, ignore_errors=True)
        raise


def _write(
    directory: RunDirectory,
    name: str,
    drafts: Sequence[Draft],
    digests: Mapping[str, str],
    command: str,
) -> Imported:
    """``run.json`` is written last: without it, the folder is no run directory."""
    started = now()
    points = results(drafts, run=directory.id, format=name)
    notes = _notes(drafts, points)
    rewrite_results(directory.results, points)
    write_table(directory.results.with_suffix(".parquet"), points)
    facts = {"bench.version": __version__, "command": command, "import.format": name}
    for number, (file, digest) in enumerate(digests.items()):
        facts |= {f"import.file.{number}": file, f"import.sha256.{number}": digest}
    directory.write_json("provenance.json", facts)
    directory.write_state(
        {
            "name": f"import-{name}",
            "state": "complete",
            "started": started,
            "finished": now(),
            "error": None,
            "points": len(points),
            "notes": list(notes),
            "imported": True,
        }
    )
    return Imported(
        directory=directory,
        format=name,
        rows=len(drafts),
        results=tuple(points),
        notes=notes,
    )


def _notes(drafts: Sequence[Draft], points: Sequence[PointResult]) -> tuple[str, ...]:
    """Notes: the number of points, and each point with contradicting figures."""
    repeats = "" if len(drafts) == len(points) else f" of {len(drafts)} measurements"
    notes = [f"{len(points)} imported points{repeats}; no check of bench has judged them"]
    for kind in ("inconsistent", "doubtful"):
        bad = [p for p in points if any(note.startswith(f"{kind}: ") for note in p.notes)]
        if bad:
            notes.append(f"{kind}: {len(bad)} of {len(points)}: {'; '.join(map(_named, bad))}")
    return tuple(notes)


def _named(point: PointResult) -> str:
    origin = point.origin
    assert origin is not None
    row = "" if origin.row is None else f"row {origin.row}: "
    lengths = [point.workload_options.get(key) for key in ("input_tokens", "output_tokens")]
    work = "" if None in lengths else f" {lengths[0]}/{lengths[1]}"
    parts = (point.hardware, point.engine, point.precision or "")
    return f"{row}{' '.join(filter(None, parts))}{work} {point.level.label} ({point.date})"
