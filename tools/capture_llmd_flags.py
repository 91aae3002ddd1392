"""Writes what llm-d's router takes, read from its Go source at a tag, as JSON on standard output.

Its programs are built from Go modules, so nothing is run: flags are read where they are defined::

    python tools/capture_llmd_flags.py GIT_DIRECTORY TAG > FILE

GIT_DIRECTORY is a clone of llm-d/llm-d-router. The engine plugin's tests check every flag and every
plugin of the endpoint picker's configuration against such a file. Keys: ``epp`` and ``pd-sidecar``
have the type of each flag, by name; ``connectors`` are the values of the sidecar's
``--kv-connector``; ``plugins`` are the types that the endpoint picker registers, with their
``stability``, whether they are ``deprecated``, and the ``parameters`` that the sources beside them
name.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
from typing import Any

_MODULE = "github.com/llm-d/llm-d-router/"
_EPP = "pkg/epp/server/options.go"
_LOGGING = "pkg/common/observability/logging/options.go"
_SIDECAR = "pkg/sidecar/proxy/options.go"
_CONNECTORS = "pkg/sidecar/proxy/proxy.go"
_RUNNER = "cmd/epp/runner/runner.go"
# fs.IntVar(&opts.GRPCPort, "grpc-port", ...); the name may be a constant.
_FLAG = re.compile(r"fs\.(\w+?)VarP?\(\s*&[\w.]+,\s*(\"[\w-]+\"|\w+),")
_CONSTANT = re.compile(r"^\s*(?:const\s+)?(\w+)\s*=\s*\"([\w.-]+)\"", re.MULTILINE)
_REGISTERED = re.compile(r"fwkplugin\.Register(\w*)\((\w+)\.(\w+), fwkplugin\.Stability(\w+)")
_IMPORT = re.compile(rf"^\s*(?:(\w+) )?\"{re.escape(_MODULE)}([\w/-]+)\"", re.MULTILINE)


class Source:
    """Files of a git directory at a tag."""

    def __init__(self, folder: str, tag: str) -> None:
        self._folder, self._tag = folder, tag

    def git(self, *args: str) -> str:
        """The output of a git command."""
        command = ("git", f"--git-dir={self._folder}", *args)
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def text(self, path: str) -> str:
        """A file's text."""
        return self.git("show", f"{self._tag}:{path}")

    def texts(self, folder: str) -> str:
        """The texts of the Go files of a folder and those below it, without tests."""
        names = self.git("ls-tree", "-r", "--name-only", self._tag, f"{folder}/").split()
        wanted = [n for n in names if n.endswith(".go") and not n.endswith("_test.go")]
        return "\n".join(map(self.text, wanted))


def main(folder: str, tag: str) -> None:
    """Write the file."""
    source = Source(folder, tag)
    commit, committed = source.git("log", "-1", "--format=%H %cs", tag).split()
    found = {
        "origin": "llm-d/llm-d-router, its Go source read by tools/capture_llmd_flags.py",
        "tag": tag,
        "commit": commit,
        "committed": committed,
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "epp": _flags(source.text(_EPP)) | _flags(source.text(_LOGGING)),
        "pd-sidecar": _flags(source.text(_SIDECAR)),
        "connectors": _connectors(source),
        "plugins": _plugins(source),
    }
    print(json.dumps(found, indent=1))


def _flags(text: str) -> dict[str, str]:
    constants = dict(_CONSTANT.findall(text))
    found = {}
    for kind, name in _FLAG.findall(text):
        plain = name.strip('"') if name.startswith('"') else constants[name]
        found[f"--{plain}" if len(plain) > 1 else f"-{plain}"] = kind.lower()
    return found


def _connectors(source: Source) -> list[str]:
    constants = dict(_CONSTANT.findall(source.texts("pkg/sidecar")))
    block = re.search(r"supportedKVConnectors = .*?\{(.*?)\n\t\}", source.text(_SIDECAR), re.DOTALL)
    assert block is not None, "the list of connectors was rewritten"
    return [constants[name] for name in re.findall(r"(\w+): *\{\}", block[1])]


def _plugins(source: Source) -> dict[str, Any]:
    runner = source.text(_RUNNER)
    folders = {alias or path.rpartition("/")[2]: path for alias, path in _IMPORT.findall(runner)}
    found: dict[str, Any] = {}
    for how, package, constant, stability in _REGISTERED.findall(runner):
        text = source.texts(folders[package])
        name = dict(_CONSTANT.findall(text)).get(constant)
        if name is None:  # An alias of a constant of another package.
            continue
        found[name] = {
            "stability": stability.lower(),
            "deprecated": how.startswith("Deprecated"),
            "parameters": sorted(set(re.findall(r"`json:\"(\w+)[,\"]", text))),
        }
    return dict(sorted(found.items()))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} GIT_DIRECTORY TAG")
    main(sys.argv[1], sys.argv[2])
