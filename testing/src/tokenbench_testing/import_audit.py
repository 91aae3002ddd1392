"""Audits the import of a hook module: ``python -m tokenbench_testing.import_audit MODULE HOOK``.

Imports the module in a fresh interpreter, calls its registration hook, and prints CPU time, modules
and side effects as JSON. A Python audit hook records side effects of any library.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import subprocess
import sys
import time
from typing import Any

import attrs

# Audit events that an import must not cause: network, processes, threads (Python documentation,
# "Audit events table", read 2026-11).
_SIDE_EFFECTS = {
    "socket.connect": "opened a network connection",
    "socket.bind": "bound a socket",
    "socket.getaddrinfo": "looked up a host",
    "socket.__new__": "created a socket",
    "subprocess.Popen": "started a process",
    "os.system": "started a process",
    "os.exec": "replaced its process",
    "os.fork": "forked",
    "os.posix_spawn": "started a process",
    "_thread.start_new_thread": "started a thread",
}
_TIMEOUT_S = 60.0


@attrs.frozen(kw_only=True)
class ImportAudit:
    """Cost and side effects of an import and its registration. `error`: None if both succeeded."""

    error: str | None = None
    cpu_s: float = 0.0
    modules: tuple[str, ...] = ()
    side_effects: tuple[str, ...] = ()
    printed: str = ""


@functools.lru_cache(maxsize=64)
def audit_import(module: str, hook: str | None) -> ImportAudit:
    """Import a module in a fresh interpreter. Cached per module."""
    path = os.pathsep.join(part for part in sys.path if part)
    command = [sys.executable, "-P", "-m", __name__, module, *([hook] if hook else [])]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=_TIMEOUT_S,
            input="",
            env={**os.environ, "PYTHONPATH": path},
        )
    except subprocess.TimeoutExpired:
        return ImportAudit(error=f"its import did not finish within {_TIMEOUT_S:g} s")
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        return ImportAudit(error=f"its import ended the process with code {done.returncode}")
    result = json.loads(lines[-1])
    printed = "\n".join([*lines[:-1], done.stderr]).strip()
    return ImportAudit(
        error=result["error"],
        cpu_s=result["cpu_s"],
        modules=tuple(result["modules"]),
        side_effects=tuple(result["side_effects"]),
        printed=printed,
    )


def main(module: str, hook: str | None = None) -> None:
    """Import the module, call the hook, print the result."""
    import tokenbench.api  # noqa: F401 - every plugin needs it; not counted

    before = set(sys.modules)
    side_effects: list[str] = []
    recording = True

    def record(event: str, args: tuple[Any, ...]) -> None:
        if not recording:
            return
        if event in _SIDE_EFFECTS:
            side_effects.append(_SIDE_EFFECTS[event])
        elif event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
            side_effects.append("opened a file for writing")

    sys.dont_write_bytecode = True
    sys.addaudithook(record)
    error = None
    begun = time.process_time()
    try:
        found = importlib.import_module(module)
        if hook is not None:
            getattr(found, hook)()
    except BaseException as problem:
        error = f"{type(problem).__name__}: {problem}"
    cpu_s = time.process_time() - begun
    recording = False
    result = {
        "error": error,
        "cpu_s": cpu_s,
        "modules": sorted(set(sys.modules) - before),
        "side_effects": list(dict.fromkeys(side_effects)),
    }
    print("\n" + json.dumps(result), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
