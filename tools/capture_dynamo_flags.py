"""Writes what an installed Dynamo accepts on its command lines, one JSON file for each program, and
what vLLM's router accepts.

Run it with an interpreter that has Dynamo (and vLLM, for the worker); no model and no network is
needed (about a minute)::

    .venv-dynamo/bin/python tools/capture_dynamo_flags.py FOLDER

The entries are those of tools/capture_vllm_flags.py. ``flags-worker.json`` has Dynamo's flags of a
vLLM worker and vLLM's own, which that worker takes as well; ``flags-worker-sglang.json`` the same
of SGLang. Any interpreter with SGLang's requirements will do for the latter: PYTHONPATH may name
folders with the wheels of Dynamo and of SGLang.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import datetime as dt
import importlib
import importlib.metadata
import inspect
import sys
from pathlib import Path
from typing import Any, NoReturn

from capture_vllm_flags import flag_entry, json_lines

# The function of each program that makes its parser and parses the command line, and its package.
_PROGRAMS = {
    "frontend": ("dynamo.frontend.main", "parse_args", "ai-dynamo"),
    "mocker": ("dynamo.mocker.args", "parse_args", "ai-dynamo"),
    "worker": ("dynamo.vllm.args", "parse_args", "ai-dynamo"),
    "worker-sglang": ("dynamo.sglang.args", "parse_args", "ai-dynamo"),
    "router": ("vllm_router.launch_router", "main", "vllm-router"),
}


class _Found(Exception):
    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


def main(folder: Path) -> None:
    """Write a file for each program that is installed."""
    for program, (module, function, package) in _PROGRAMS.items():
        try:
            parser = _parser(module, function)
        except ImportError as error:
            print(f"{program}: not installed ({error})", file=sys.stderr)
            continue
        found = {
            "origin": f"the parser of {module}.{function}, dumped by tools/capture_dynamo_flags.py",
            "version": importlib.metadata.version(package),
            "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
            "flags": _flags(parser),
        }
        (folder / f"flags-{program}.json").write_text(json_lines(found) + "\n", encoding="utf-8")


def _parser(module: str, function: str) -> argparse.ArgumentParser:
    """The parser, at the moment when the program gives it the command line."""
    with contextlib.redirect_stdout(sys.stderr):
        parse = getattr(importlib.import_module(module), function)
    plain = argparse.ArgumentParser.parse_known_args

    def stop(self: argparse.ArgumentParser, *_: Any, **__: Any) -> NoReturn:
        raise _Found(self)

    argparse.ArgumentParser.parse_known_args = stop  # type: ignore[method-assign]
    try:
        if inspect.iscoroutinefunction(parse):
            asyncio.run(parse([]))
        else:
            parse()
    except _Found as found:
        return found.parser
    finally:
        argparse.ArgumentParser.parse_known_args = plain  # type: ignore[method-assign]
    raise AssertionError(f"{module}.{function} parsed nothing")


def _flags(parser: argparse.ArgumentParser) -> list[dict[str, Any]]:
    """All options: groups hold some of another parser, which the program asks afterwards."""
    entries: dict[str, dict[str, Any]] = {}
    # argparse has no public way to list groups and their arguments.
    for group in parser._action_groups:  # noqa: SLF001
        for action in group._group_actions:  # noqa: SLF001
            if action.option_strings:
                entry = flag_entry(action)
                entries.setdefault(entry["names"][0], entry)
    return list(entries.values())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER")
    main(Path(sys.argv[1]))
