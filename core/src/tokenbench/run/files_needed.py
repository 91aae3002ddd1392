"""Whether the limit of open files is high enough for a plan."""

from __future__ import annotations

from tokenbench.api import MachineError
from tokenbench.launch.limits import most_files
from tokenbench.plan.plan import Plan

# Open files of a load worker besides its connections; of `bench` itself.
_WORKER_FILES = 24
_OWN_FILES = 44
_FILES_OF_A_WORKER = 4  # Pipes of `bench` to each load worker.


def require_files(plan: Plan) -> None:
    """Raise if the limit is too low. Load levels that a search tries later are not known here.

    Raises:
        MachineError: the limit is too low.
    """
    limit = most_files()
    needed, why = _OWN_FILES + _FILES_OF_A_WORKER * len(plan.cores.workers), "bench"
    for deployment in plan.deployments:
        for point in deployment.points:
            connections = -(-point.concurrency // max(1, point.load_workers))
            if connections + _WORKER_FILES > needed:
                needed, why = connections + _WORKER_FILES, f"concurrency {point.concurrency}"
    if needed > limit:
        raise MachineError(
            f"{why} needs {needed} open files in a process; the limit is {limit}",
            hint=f"raise it: ulimit -n {needed} (as root, or in the settings of the service)",
        )
