"""Node programs of hardware plugins, as they run on hosts."""

from __future__ import annotations

from typing import Any

from tokenbench.api import NodeProgram, Probe, Sample
from tokenbench.guard.owner import Owner
from tokenbench.launch.node.client import NodeAgent
from tokenbench.launch.node.program import RunningProgram, files_of, to_probe, to_sample


class HostProgram:
    """The node program of the hardware plugin `name` of a distribution.

    Each method raises PluginError if the program does not conform to the API.
    """

    def __init__(self, name: str, distribution: str | None, program: NodeProgram) -> None:
        self._owner = Owner("hardware", name, distribution or "?")
        self._program = program

    def files(self) -> dict[str, str]:
        """The texts of the files that are sent to a host, by path."""
        return files_of(self._owner, self._program.module)

    def probe(self) -> Probe:
        """The devices of this machine, from a node agent that has only the files of the program."""
        with NodeAgent() as agent:
            return RunningProgram(agent, self._owner, self._program).probe()

    def to_probe(self, found: Any) -> Probe:
        """The result of the program's `probe` as a type of the API."""
        return to_probe(found, self._owner)

    def to_sample(self, values: Any) -> Sample:
        """One item of the result of the program's `sample` as a type of the API."""
        return to_sample(values, self._owner)
