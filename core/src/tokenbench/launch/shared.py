"""The folder that all processes of a deployment see."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from tokenbench.api import Allocation, EngineError, PluginError, ProcessSpec

from .node.client import NodeAgent

_SYMBOL = "{shared}"


def shared_folder(
    processes: Sequence[ProcessSpec], hosts: Sequence[str], allocation: Allocation
) -> str | None:
    """The path of a new folder for ``{shared}``; None if the agent's own will do, because there is
    one host, or nothing uses it.

    Raises:
        PluginError: the hosts have no folder in common, as far as the launcher says.
    """
    users = [spec.role for spec in processes if _uses(spec)]
    if len(hosts) < 2 or not users:
        return None
    if allocation.shared is None:
        raise PluginError(
            f"{users[0]} needs a folder that all of {', '.join(hosts)} see",
            hint="name one (on NFS, for example) with the launcher's option for it",
        )
    return f"{allocation.shared.rstrip('/')}/bench-{uuid.uuid4().hex}"


def check_shared(agent: NodeAgent, folder: str) -> None:
    """After another host has made it.

    Raises:
        EngineError: this one does not see it.
        AgentError: the agent does not answer.
    """
    if not agent.ask("exists", path=folder):
        parent = folder.rpartition("/")[0]
        raise EngineError(
            f"{agent.host} does not see what another host writes to {parent}",
            hint="name a folder on a file system that all hosts have mounted",
        )


def _uses(spec: ProcessSpec) -> bool:
    texts = [spec.wrap, spec.argv, dict(spec.flags), dict(spec.environment)]
    # A file that is a text is written as it is.
    return _SYMBOL in repr(
        [*texts, *(f.content for f in spec.files if not isinstance(f.content, str))]
    )
