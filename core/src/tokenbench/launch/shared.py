"""The folder that all processes of a deployment share."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from tokenbench.api import Allocation, EngineError, PluginError, ProcessSpec

from .node.client import NodeAgent

_SYMBOL = "{shared}"


def shared_folder(
    processes: Sequence[ProcessSpec], hosts: Sequence[str], allocation: Allocation
) -> str | None:
    """The path of a new folder for ``{shared}``; None if the agent's own suffices, because there is
    one host or nothing uses it.

    Raises:
        PluginError: the launcher names no folder that the hosts share.
    """
    users = [spec.role for spec in processes if _uses(spec)]
    if len(hosts) < 2 or not users:
        return None
    if allocation.shared is None:
        raise PluginError(
            f"{users[0]} needs a folder shared by {', '.join(hosts)}",
            hint="set one, for example on NFS, with the launcher's option",
        )
    return f"{allocation.shared.rstrip('/')}/bench-{uuid.uuid4().hex}"


def check_shared(agent: NodeAgent, folder: str) -> None:
    """Check the shared folder after another host has created it.

    Raises:
        EngineError: this host does not see it.
        AgentError: the agent does not answer.
    """
    if not agent.ask("exists", path=folder):
        parent = folder.rpartition("/")[0]
        raise EngineError(
            f"{agent.host} does not see files that another host writes to {parent}",
            hint="use a folder on a file system that all hosts have mounted",
        )


def _uses(spec: ProcessSpec) -> bool:
    texts = [spec.wrap, spec.argv, dict(spec.flags), dict(spec.environment)]
    # A file that is a text is written as it is.
    return _SYMBOL in repr(
        [*texts, *(f.content for f in spec.files if not isinstance(f.content, str))]
    )
