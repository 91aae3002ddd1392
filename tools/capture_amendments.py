"""Captures the names that the amendments use: variables, flags, connectors, keys of files.

``python tools/capture_amendments.py --vllm SITE --sglang SITE --mooncake SITE`` writes
``tests/captured/engines.json`` of every plugin named in PLUGINS. SITE is a folder that has the
package: the site-packages of an environment, or an unpacked wheel. The sources are read and not
imported: SGLang cannot be imported without a GPU's packages.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
# The names that concern each plugin.
PLUGINS = {
    "plugins/amendments/mooncake": r"MOONCAKE|HASHSEED|kv.transfer|hicache|hierarch|disagg",
    "plugins/amendments/nixl": r"NIXL|kv.transfer|disaggregation.transfer",
    "plugins/amendments/mori": r"MORI|moe.a2a|all2all|disaggregation.transfer|deepep.mode",
    "plugins/hardware/amd": r"AITER|QUICK_REDUCE",
    "plugins/hardware/nvidia": r"PDL|NCCL",
}


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("vllm", "sglang", "mooncake"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    asked = parser.parse_args()
    found = {
        "vllm": _vllm(asked.vllm),
        "sglang": _sglang(asked.sglang),
        "mooncake": _mooncake(asked.mooncake),
    }
    for folder, pattern in PLUGINS.items():
        mine = {engine: _only(re.compile(pattern), facts) for engine, facts in found.items()}
        if not folder.endswith("mooncake"):
            del mine["mooncake"]
        file = ROOT / folder / "tests/captured/engines.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"date": f"{datetime.now(UTC):%Y-%m-%d}", **mine}, indent=1)
        file.write_text(text + "\n", encoding="utf-8")


def _only(pattern: re.Pattern[str], facts: dict[str, Any]) -> dict[str, Any]:
    """Variables and flags that the pattern finds; the rest as it is."""
    return {
        key: {k: v for k, v in value.items() if pattern.search(k)}
        if key in ("variables", "flags")
        else value
        for key, value in facts.items()
    }


def _version(site: Path, package: str) -> str:
    (info,) = site.glob(f"{package}-[0-9]*.dist-info")
    return info.name.removesuffix(".dist-info").rpartition("-")[2]


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _vllm(site: Path) -> dict[str, Any]:
    """Variables with their defaults as written, flags, connectors, all-to-all backends, the keys of
    the store's file.
    """
    package = site / "vllm"
    tree = _tree(package / "envs.py")
    variables = {
        node.target.id: ast.unparse(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value
        if node.target.id.isupper()
    }
    hashes = (package / "v1/core/kv_cache_utils.py").read_text(encoding="utf-8")
    if '"PYTHONHASHSEED"' in hashes:
        variables["PYTHONHASHSEED"] = "None"
    arguments = (package / "engine/arg_utils.py").read_text(encoding="utf-8")
    factory = package / "distributed/kv_transfer/kv_connector/factory.py"
    return {
        "version": _version(site, "vllm"),
        "variables": variables,
        "flags": {f: [] for f in sorted(set(re.findall(r'"(--[a-z0-9-]+)"', arguments)))},
        "connectors": re.findall(
            r'register_connector\(\s*"(\w+)"', factory.read_text(encoding="utf-8")
        ),
        "all2all": _literal(package / "config/parallel.py", "All2AllBackend"),
        "store_file": sorted(_keys_read(package / "distributed/mooncake_store.py", "config")),
        "mooncake_extra": sorted(
            _keys_read(
                package / "distributed/kv_transfer/kv_connector/v1/mooncake/mooncake_connector.py",
                "kv_connector_extra_config",
            )
        ),
        "nixl_extra": sorted(
            _keys_read(package / "distributed/kv_transfer/kv_connector/v1/nixl/base_worker.py", "")
        ),
    }


def _literal(file: Path, name: str) -> list[str]:
    """The values of a ``Literal`` that is assigned to `name`."""
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return sorted(str(c.value) for c in ast.walk(node.value) if isinstance(c, ast.Constant))
    raise ValueError(f"{file} assigns no {name}")


def _keys_read(file: Path, owner: str) -> set[str]:
    """First arguments of ``owner.get("KEY", ...)`` and ``get_from_extra_config("KEY", ...)``."""
    found: set[str] = set()
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            key, called = node.args[0], node.func
            mine = called.attr == "get" and ast.unparse(called.value).endswith(owner) and owner
            if (mine or called.attr == "get_from_extra_config") and isinstance(key, ast.Constant):
                found.add(str(key.value))
    return found


def _sglang(site: Path) -> dict[str, Any]:
    """Variables with their defaults as written, flags with their choices, the store's keys."""
    package = site / "sglang/srt"
    variables = {
        node.targets[0].id: ast.unparse(node.value)
        for node in ast.walk(_tree(package / "environ.py"))
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        if node.targets[0].id.isupper() and isinstance(node.value, ast.Call)
    }
    reduce = package / "distributed/device_communicators/quick_all_reduce.py"
    for name in re.findall(r'"(ROCM_QUICK_REDUCE_\w+)"', reduce.read_text(encoding="utf-8")):
        variables.setdefault(name, "'NONE'")
    store = package / "mem_cache/storage/mooncake_store/mooncake_store.py"
    return {
        "version": _version(site, "sglang"),
        "variables": variables,
        "flags": _sglang_flags(package / "arg_groups"),
        "store_extra": sorted(_keys_read(store, "extra_config")),
    }


def _sglang_flags(folder: Path) -> dict[str, list[str]]:
    """Flags, which are fields of classes, with the choices of their annotation."""
    named = {
        ast.unparse(node.targets[0]): node.value
        for node in _tree(folder / "choices.py").body
        if isinstance(node, ast.Assign)
    }
    found: dict[str, list[str]] = {}
    for file in sorted((folder / "fields").glob("*.py")):
        for node in ast.walk(_tree(file)):
            if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                continue
            choices: list[str] = []
            for part in ast.walk(node.annotation):
                if isinstance(part, ast.keyword) and part.arg == "choices":
                    value = named.get(ast.unparse(part.value), part.value)
                    choices = [str(c.value) for c in ast.walk(value) if isinstance(c, ast.Constant)]
            found["--" + node.target.id.replace("_", "-")] = choices
    return found


def _mooncake(site: Path) -> dict[str, Any]:
    """The master's flags, the metadata server's, and the variables of a client."""
    package = site / "mooncake"
    done = subprocess.run(
        [str(package / "mooncake_master"), "--help"], capture_output=True, text=True, check=False
    )
    served = (package / "http_metadata_server.py").read_text(encoding="utf-8")
    config = (package / "mooncake_config.py").read_text(encoding="utf-8")
    return {
        "version": _version(site, "mooncake_transfer_engine_non_cuda"),
        "master": sorted(set(re.findall(r"^    -(\w+) ", done.stdout, re.MULTILINE))),
        "metadata": sorted(re.findall(r'"(--[a-z-]+)"', served)),
        "client": sorted(set(re.findall(r'getenv\(\s*"(MOONCAKE_\w+)"', config))),
    }


if __name__ == "__main__":
    main()
