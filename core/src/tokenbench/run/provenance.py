"""Everything that can change a number: versions, machine, command line, clocks."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping

import tokenbench
from tokenbench.api import API_VERSION, EngineRequest, ModelSpec
from tokenbench.launch.node.agent import machine
from tokenbench.launch.node.client import AgentError, NodeAgent
from tokenbench.load import native
from tokenbench.plan.plan import Plan
from tokenbench.plugins.discovery import Candidate
from tokenbench.store import calibration
from tokenbench.suite.secrets import looks_secret

# Libraries whose version can change a number.
_LIBRARIES = ("httptools", "msgspec", "numpy", "pyarrow")
# Variables that change how engines and libraries run. Other variables are not recorded.
_PREFIXES = ("TOKENBENCH_", "CUDA_", "HIP_", "ROCR_", "NCCL_", "OMP_", "VLLM_", "SGLANG_", "LLAMA_")


def provenance(plugins: Iterable[Candidate], plan: Plan, *, argv: list[str]) -> dict[str, str]:
    """Facts of a run: text by dotted key. Those of the machine are this machine's, where the load
    generator runs; :func:`host_facts` has those of other hosts.
    """
    facts = {
        "bench.version": tokenbench.__version__,
        "bench.api": ".".join(map(str, API_VERSION)),
        "command": " ".join(argv),
        "seed": str(plan.resolved.seed),
        "python": platform.python_version(),
        "load.request_path": native.path(),
        "load.worker_cores": ",".join(map(str, plan.cores.workers)),
        "engine.cores": ",".join(map(str, plan.cores.engine)),
        **{name: str(value) for name, value in machine().items()},
        "clock.wall_ns": str(time.time_ns()),
        "clock.monotonic_ns": str(time.monotonic_ns()),
    }
    facts |= plugin_facts(plugins)
    facts |= calibration.facts()
    for library in _LIBRARIES:
        facts[f"library.{library}"] = importlib.metadata.version(library)
    for name, value in sorted(_environment(os.environ).items()):
        facts[f"env.{name}"] = value
    return {**facts, **_git()}


def host_facts(agents: Mapping[str, NodeAgent]) -> dict[str, str]:
    """The machine and the environment of each host: ``host.NAME.cpu``, ``host.NAME.env.X``."""
    facts: dict[str, str] = {}
    for name, agent in agents.items():
        with contextlib.suppress(AgentError):  # A server that ends with its agent is reported.
            found = agent.ask("machine", prefixes=_PREFIXES)
            variables = _environment(found.pop("environment"))
            facts |= {f"host.{name}.{key}": str(value) for key, value in found.items()}
            facts |= {f"host.{name}.env.{key}": text for key, text in sorted(variables.items())}
    return facts


def plugin_facts(plugins: Iterable[Candidate]) -> dict[str, str]:
    """The distribution and version of each plugin."""
    return {
        f"plugin.{c.kind}.{c.name}": f"{c.distribution} {c.version} (API {c.api})" for c in plugins
    }


def model_facts(model: ModelSpec, request: EngineRequest) -> dict[str, str]:
    """The weights of a deployment, the hash of the model's chat template, and its other facts."""
    facts = {"model": model.name}
    if (weights := request.weights) is not None:
        facts |= {"weights.precision": weights.precision, "weights.revision": weights.revision}
    if model.chat_template is not None:
        digest = hashlib.sha256(model.chat_template.encode()).hexdigest()
        facts["model.chat_template.sha256"] = digest
    return facts | {f"model.{name}": value for name, value in model.facts.items()}


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in variables.items()
        if name.startswith(_PREFIXES) and not looks_secret(name)
    }


def _git() -> dict[str, str]:
    """Commit of the current folder; empty if it is not in a Git repository."""
    if shutil.which("git") is None:
        return {}

    def ask(*args: str) -> str | None:
        done = subprocess.run(
            ["git", *args],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=5,
        )
        return done.stdout.strip() if done.returncode == 0 else None

    try:
        commit = ask("rev-parse", "HEAD")
        if commit is None:
            return {}
        return {"git.commit": commit, "git.dirty": str(bool(ask("status", "--porcelain"))).lower()}
    except subprocess.TimeoutExpired:
        return {}


def command_line() -> list[str]:
    """The command line, without the interpreter's path."""
    return ["bench", *sys.argv[1:]]
