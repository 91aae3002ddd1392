"""Writes what an installed SGLang, and its router, accept on their command lines, as JSON on
standard output.

Run it with SGLang's own interpreter, which builds the parsers (about 30 s; no model, no network)::

    .venv-sglang/bin/python tools/capture_sglang_flags.py > FILE
    .venv-sglang/bin/python tools/capture_sglang_flags.py router > FILE

The engine plugin knows from such files how the two write their flags; its tests check every flag
that it can produce against them. The keys are those of tools/capture_vllm_flags.py; ``deprecated``:
flags that this version warns of; ``environment``: the variables that SGLang reads.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import importlib.metadata
import sys
from typing import Any

from capture_vllm_flags import flag_entry, json_lines


def main(what: str) -> None:
    """Write the file."""
    with contextlib.redirect_stdout(sys.stderr):
        package, parser = (
            ("sglang-router", _router()) if what == "router" else ("sglang", _server())
        )
        # argparse has no public way to list the arguments of a parser.
        actions: list[argparse.Action] = parser._actions  # noqa: SLF001
        found: dict[str, Any] = {
            "origin": f"the parser of {package}, dumped by tools/capture_sglang_flags.py",
            "version": _version(package),
            "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
            "flags": [flag_entry(action) for action in actions if action.option_strings],
            "deprecated": [
                action.option_strings[0]
                for action in actions
                if action.option_strings and "deprecated" in (action.help or "").lower()[:20]
            ],
        }
        if what != "router":
            found["environment"] = _environment()
    print(json_lines(found))


def _version(package: str) -> str:
    """Of what is imported: a folder in PYTHONPATH may have another version than the metadata."""
    if package == "sglang":
        import sglang.version

        return str(sglang.version.__version__)
    return importlib.metadata.version(package)


def _server() -> argparse.ArgumentParser:
    from sglang.srt.server_args import ServerArgs

    parser = argparse.ArgumentParser()
    ServerArgs.add_cli_args(parser)
    return parser


def _router() -> argparse.ArgumentParser:
    from sglang_router.launch_router import RouterArgs

    parser = argparse.ArgumentParser()
    RouterArgs.add_cli_args(parser)
    return parser


def _environment() -> list[str]:
    from sglang.srt.environ import Envs

    return sorted(name for name in vars(Envs) if name.isupper())


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "server")
