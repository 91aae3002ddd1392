"""``bench load-worker``."""

from __future__ import annotations

from pathlib import Path

import click

from .streams import echo, plugins_apart


@click.command("load-worker")
@click.argument("job", required=False, type=click.Path(path_type=Path))
def command(job: Path | None) -> None:
    """Run the load job of a file and print its summary; without JOB, take commands on standard
    input, as `bench run` gives them to its own workers.

    A job is one JSON file and the file of sessions that it names; records go to the folder that it
    names. The key, if the server wants one, comes from the environment of this process.
    """
    from tokenbench.load import worker

    if job is None:
        worker.main()
    else:
        with plugins_apart():
            echo(worker.run_job(job))
