"""Level 0: the package and its import. Needs an installed distribution."""

from __future__ import annotations

import importlib.metadata

from tokenbench.plugins.kinds import BY_NAME
from tokenbench.plugins.versions import api_mismatch
from tokenbench.testing.import_audit import ImportAudit, audit_import
from tokenbench.testing.kit import Subject, check, fail, skip

IMPORT_CPU_S = 0.5
"""A list of plugins must stay instant even where all of them are imported."""
HEAVY = frozenset(
    {
        *("torch", "tensorflow", "jax", "numpy", "scipy", "pandas", "pyarrow", "duckdb"),
        *("transformers", "tokenizers", "datasets", "huggingface_hub", "lm_eval", "sentencepiece"),
        *("vllm", "sglang", "tensorrt_llm", "xllamacpp", "llama_cpp"),
        *("pynvml", "amdsmi", "httpx", "requests", "aiohttp", "urllib3", "rich", "matplotlib"),
    }
)
"""Top-level modules that a hook module imports inside the function which needs them, if at all."""


def _metadata(subject: Subject) -> importlib.metadata.Distribution:
    if subject.distribution is None:
        skip("it is not installed as a distribution")
    return importlib.metadata.distribution(subject.distribution)


def _audit(subject: Subject) -> ImportAudit:
    _metadata(subject)
    found = audit_import(subject.module, BY_NAME[subject.kind].hook)
    if found.error is not None:
        skip("it cannot be imported, which is another check's business")
    return found


@check(0)
def metadata_is_complete(subject: Subject) -> None:
    """The distribution says its summary, its licence, the Pythons it runs on, and that it needs
    tokenbench.

    To fix: fill description, license, requires-python and dependencies of its pyproject.
    """
    metadata = _metadata(subject).metadata
    licences = ("License-Expression", "License", "License-File")
    missing = [key for key in ("Summary", "Requires-Python") if not metadata.get_all(key)]
    if not any(metadata.get_all(key) for key in licences) and not any(
        text.startswith("License ::") for text in metadata.get_all("Classifier") or ()
    ):
        missing.append("License-Expression")
    needs = metadata.get_all("Requires-Dist") or ()
    if metadata["Name"] != "tokenbench" and not any(n.startswith("tokenbench") for n in needs):
        missing.append("Requires-Dist: tokenbench")
    if missing:
        fail(f"its metadata lacks {', '.join(missing)}")


@check(0)
def api_version_fits(subject: Subject) -> None:
    """The distribution says which API version it was written for, and this bench has it.

    To fix: the entry point group `tokenbench.api` of its pyproject names the version.
    """
    dist = _metadata(subject)
    declared = [e.name for e in dist.entry_points if e.group == "tokenbench.api"]
    wrong = api_mismatch(declared[0] if declared else None)
    if wrong is not None:
        fail(f"{wrong[0]} ({wrong[1]})")


@check(0)
def imports_alone(subject: Subject) -> None:
    """The hook module can be imported, and its hook called, in a fresh interpreter.

    To fix: import what it needs; rely on nothing that another plugin imported before.
    """
    _metadata(subject)
    found = audit_import(subject.module, BY_NAME[subject.kind].hook)
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
    """No engine, framework, driver or HTTP library is imported to register.

    To fix: import it inside the factory, or in a module that the factory imports.
    """
    heavy = sorted({name.partition(".")[0] for name in _audit(subject).modules} & HEAVY)
    if heavy:
        fail(f"registering it imports {', '.join(heavy)}")


@check(0)
def imports_only_the_api(subject: Subject) -> None:
    """Of tokenbench it imports `tokenbench.api` alone, and no other plugin: the rest may change
    without notice.

    To fix: say what is missing in the API; ask for another engine by `context.engine(name)`.
    """
    if subject.distribution == "tokenbench":
        skip("it is the core's own")
    own = subject.module.partition(".")[0]
    found = [
        name
        for name in _audit(subject).modules
        if (name.startswith("tokenbench.") and not name.startswith("tokenbench.api"))
        or (name.startswith("tokenbench_") and name.partition(".")[0] != own)
    ]
    if found:
        fail(f"registering it imports {', '.join(found[:3])}")


@check(0)
def registration_has_no_side_effects(subject: Subject) -> None:
    """Importing and registering open no socket, start no process or thread, write no file.

    To fix: probe when asked to, in the object that the factory makes.
    """
    acts = _audit(subject).acts
    if acts:
        fail(f"importing or registering it {', '.join(acts)}")


@check(0)
def prints_nothing(subject: Subject) -> None:
    """Importing and registering print nothing: lists and JSON stay readable.

    To fix: return values or raise; never print or configure logging at import.
    """
    printed = _audit(subject).printed
    if printed:
        fail(f"importing or registering it prints {printed[:80]!r}")
