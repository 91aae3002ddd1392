"""The order in which the processes of a plan start."""

from __future__ import annotations

from collections.abc import Sequence

from tokenbench.api import ProcessSpec


def start_order(processes: Sequence[ProcessSpec]) -> list[ProcessSpec]:
    """The processes in the given order, but each after those of the roles in its `after`.

    Raises:
        ValueError: roles wait for each other, or for one that no process has.
    """
    roles = {process.role for process in processes}
    for process in processes:
        for role in process.after:
            if role not in roles:
                raise ValueError(
                    f"{process.role} starts after {role!r}, which no process has; "
                    f"roles: {', '.join(sorted(roles))}"
                )
    left, ordered = list(processes), list[ProcessSpec]()
    while left:
        waiting = {process.role for process in left}
        free = [p for p in left if not (set(p.after) - {p.role}) & waiting]
        if not free:
            raise ValueError(f"these roles wait for each other: {', '.join(sorted(waiting))}")
        ordered.append(free[0])
        left.remove(free[0])
    return ordered
