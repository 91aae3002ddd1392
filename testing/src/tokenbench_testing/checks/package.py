"""Level 0: the package and its import. Needs an installed distribution."""

from __future__ import annotations

import importlib.metadata
import re

from tokenbench.harness import api_mismatch, kind_of
from tokenbench_testing.import_audit import ImportAudit, audit_import
from tokenbench_testing.kit import Subject, check, fail, skip

IMPORT_CPU_S = 0.5
"""Keeps `bench plugins list --check` fast, which imports all plugins."""
HEAVY = frozenset(
    {
        *("torch", "tensorflow", "jax", "numpy", "scipy", "pandas", "pyarrow", "duckdb"),
        *("transformers", "tokenizers", "datasets", "huggingface_hub", "lm_eval", "sentencepiece"),
        *("vllm", "sglang", "tensorrt_llm", "xllamacpp", "llama_cpp"),
        *("pynvml", "amdsmi", "httpx", "requests", "aiohttp", "urllib3", "rich", "matplotlib"),
    }
)
"""Top-level modules that a hook module may import only inside functions."""
# The requirement of core, and not of the kit or of another plugin.
_CORE = re.compile(r"tokenbench(?![\w.-])")


def _metadata(subject: Subject) -> importlib.metadata.Distribution:
    if subject.distribution is None:
        skip("it is not installed as a distribution")
    return importlib.metadata.distribution(subject.distribution)


def _audit(subject: Subject) -> ImportAudit:
    _metadata(subject)
    found = audit_import(subject.module, kind_of(subject.kind).hook)
    if found.error is not None:
        skip("see imports-alone")
    return found


@check(0)
def metadata_is_complete(subject: Subject) -> None:
    """The distribution has a summary, a licence and supported Python versions, and depends on
    tokenbench.

    To fix: set description, license, requires-python and dependencies in its pyproject.
    """
    metadata = _metadata(subject).metadata
    licences = ("License-Expression", "License", "License-File")
    missing = [key for key in ("Summary", "Requires-Python") if not metadata.get_all(key)]
    if not any(metadata.get_all(key) for key in licences) and not any(
        text.startswith("License ::") for text in metadata.get_all("Classifier") or ()
    ):
        missing.append("License-Expression")
    needs = [text for text in metadata.get_all("Requires-Dist") or () if "extra ==" not in text]
    if metadata["Name"] != "tokenbench" and not any(_CORE.match(text) for text in needs):
        missing.append("Requires-Dist: tokenbench")
    if missing:
        fail(f"its metadata lacks {', '.join(missing)}")


@check(0)
def api_version_fits(subject: Subject) -> None:
    """The distribution declares an API version that this bench supports.

    To fix: name the version in the entry-point group `tokenbench.api` of its pyproject.
    """
    dist = _metadata(subject)
    declared = [e.name for e in dist.entry_points if e.group == "tokenbench.api"]
    mismatch = api_mismatch(declared[0] if declared else None)
    if mismatch is not None:
        fail(f"{mismatch[0]} ({mismatch[1]})")


@check(0)
def imports_alone(subject: Subject) -> None:
    """In a fresh interpreter the hook module can be imported, and its hook can be called.

    To fix: import what it needs; do not rely on imports of other plugins.
    """
    _metadata(subject)
    found = audit_import(subject.module, kind_of(subject.kind).hook)
    if found.error is not None:
        fail(found.error)


@check(0)
def imports_quickly(subject: Subject) -> None:
    """Import and registration take less than half a second of CPU time.

    To fix: import inside the function that needs it; compute nothing at import.
    """
    took = _audit(subject).cpu_s
    if took > IMPORT_CPU_S:
        fail(f"import and registration took {took:.2f} s of CPU time, at most {IMPORT_CPU_S} s")


@check(0)
def imports_nothing_heavy(subject: Subject) -> None:
    """Import and registration load no engine, framework, driver or HTTP library.

    To fix: import it inside the factory, or in a module that the factory imports.
    """
    heavy = sorted({name.partition(".")[0] for name in _audit(subject).modules} & HEAVY)
    if heavy:
        fail(f"registration imports {', '.join(heavy)}")


@check(0)
def imports_only_the_api(subject: Subject) -> None:
    """Of tokenbench it imports only `tokenbench.api`, and it imports no other plugin: other modules
    may change without notice.

    To fix: request what is missing in the API; get other engines from `context.engine(name)`.
    """
    if subject.distribution == "tokenbench":
        skip("it is part of core")
    own = subject.module.partition(".")[0]
    found = [
        name
        for name in _audit(subject).modules
        if (name.startswith("tokenbench.") and not name.startswith("tokenbench.api"))
        or (name.startswith("tokenbench_") and name.partition(".")[0] != own)
    ]
    if found:
        fail(f"registration imports {', '.join(found[:3])}")


@check(0)
def registration_has_no_side_effects(subject: Subject) -> None:
    """Import and registration open no socket, start no process or thread, and write no file.

    To fix: probe on request, in the object that the factory returns.
    """
    side_effects = _audit(subject).side_effects
    if side_effects:
        fail(f"import or registration {', '.join(side_effects)}")


@check(0)
def prints_nothing(subject: Subject) -> None:
    """Import and registration print nothing: lists and JSON must stay readable.

    To fix: return values or raise; do not print or configure logging at import.
    """
    printed = _audit(subject).printed
    if printed:
        fail(f"import or registration printed {printed[:80]!r}")
