"""A hook module in a fresh interpreter: ``python -m tokenbench.testing.import_audit MODULE HOOK``.

Imports the module and calls its registration hook, and says as JSON what that took and touched. An
audit hook listens: it sees what the interpreter does whatever library asked for it.
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

# Audit events (Python documentation, "Audit events table", read 2026-11) that have no place in an
# import: network, processes, threads.
_SIDE_EFFECTS = {
    "socket.connect": "opened a network connection",
    "socket.bind": "bound a socket",
    "socket.getaddrinfo": "looked up a host",
    "socket.__new__": "made a socket",
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
    """What an import and registration took. `error` None where both went well."""

    error: str | None = None
    cpu_s: float = 0.0
    modules: tuple[str, ...] = ()
    acts: tuple[str, ...] = ()
    printed: str = ""


@functools.lru_cache(maxsize=64)
def audit_import(module: str, hook: str | None) -> ImportAudit:
    """Import a module in a process of its own; asked once a module."""
    path = os.pathsep.join(part for part in sys.path if part)
    command = [sys.executable, "-m", __name__, module, *([hook] if hook else [])]
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
        return ImportAudit(error=f"its import did not end within {_TIMEOUT_S:g} s")
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        return ImportAudit(error=f"its import ended the process with code {done.returncode}")
    said = json.loads(lines[-1])
    printed = "\n".join([*lines[:-1], done.stderr]).strip()
    return ImportAudit(
        error=said["error"],
        cpu_s=said["cpu_s"],
        modules=tuple(said["modules"]),
        acts=tuple(said["acts"]),
        printed=printed,
    )


def main(module: str, hook: str | None = None) -> None:
    """Import, register, say."""
    import tokenbench.api  # noqa: F401 - what every plugin has; not counted

    before = set(sys.modules)
    acts: list[str] = []
    listening = True

    def listen(event: str, args: tuple[Any, ...]) -> None:
        if not listening:
            return
        if event in _SIDE_EFFECTS:
            acts.append(_SIDE_EFFECTS[event])
        elif event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
            acts.append("opened a file for writing")

    sys.dont_write_bytecode = True
    sys.addaudithook(listen)
    error = None
    begun = time.process_time()
    try:
        found = importlib.import_module(module)
        if hook is not None:
            getattr(found, hook)()
    except BaseException as problem:
        error = f"{type(problem).__name__}: {problem}"
    cpu_s = time.process_time() - begun
    listening = False
    said = {
        "error": error,
        "cpu_s": cpu_s,
        "modules": sorted(set(sys.modules) - before),
        "acts": list(dict.fromkeys(acts)),
    }
    print("\n" + json.dumps(said), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
