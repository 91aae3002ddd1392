"""``bench load-worker``."""

from __future__ import annotations

from pathlib import Path

import click

from .streams import echo, plugins_apart


@click.command("load-worker")
@click.argument("job", required=False, type=click.Path(path_type=Path))
def command(job: Path | None) -> None:
    """Run the load job in the file JOB and print its summary.

    JOB is JSON and names the file of sessions and the folder for records. A key of the server is
    read from the environment. Without JOB, commands are read from standard input, as sent by
    `bench run`.
    """
    from tokenbench.load import worker

    if job is None:
        worker.main()
    else:
        with plugins_apart():
            echo(worker.run_job(job))
