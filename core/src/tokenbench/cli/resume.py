"""``bench run --resume``: the plan of an earlier run, and its finished parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenbench.api.errors import UsageError

from .request import plan_request

if TYPE_CHECKING:
    from tokenbench.plan.plan import Plan
    from tokenbench.plugins.instances import PluginInstances
    from tokenbench.run.kept import Kept
    from tokenbench.store.layout import RunDirectory


def resumed(
    directory: RunDirectory, asked: dict[str, Any], without: tuple[str, ...]
) -> tuple[Plan, PluginInstances, Kept]:
    """The plan of the run in `directory`, made again, and its finished parts.

    Raises:
        UsageError: other arguments are given, or the run cannot be resumed.
    """
    from tokenbench.run.kept import read_kept

    given = [name for name, value in asked.items() if value not in (None, ())]
    if given:
        name = "a suite" if given[0] == "suite" else f"--{given[0].replace('_', '-')}"
        raise UsageError(
            f"--resume continues a run as it was planned: {name} cannot be added",
            hint="give --resume alone, or start a new run",
        )
    if (directory.read_json("run.json") or {}).get("imported"):
        raise UsageError(
            f"{directory.path} was imported: there is nothing to resume",
            hint="import the files again, or start a new run",
        )
    facts = directory.read_json("provenance.json") or {}
    try:
        seed = int(facts["seed"])
    except (KeyError, ValueError):
        raise UsageError(
            f"{directory.path} cannot be resumed: its provenance.json has no seed",
            hint="start a new run",
        ) from None
    asked = {**asked, "suite": directory.path / "suite.json"}
    plan, plugins = plan_request(asked, without, drawn_seed=seed)
    return plan, plugins, read_kept(directory, plan)
