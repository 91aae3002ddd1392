"""A launcher whose only host is this machine, with a small /dev/shm of its own."""

import sys
from collections.abc import Sequence

from tokenbench import api

MOUNT = 'mount -t tmpfs -o size="$0" tmpfs /dev/shm && exec "$@"'


@api.options
class Options:
    shm: str = api.option(default="64m", help="size of /dev/shm in the box")


class TinyBox(api.Launcher):
    def __init__(self, options: Options) -> None:
        self._options = options

    def allocate(self, resources: api.Resources) -> api.Allocation:
        host = api.Host(name="box", address="127.0.0.1", python=sys.executable)
        return api.Allocation(id="box", hosts=(host,))

    def channel(self, host: api.Host, argv: Sequence[str]) -> Sequence[str]:
        unshare = ("unshare", "--user", "--map-root-user", "--mount")
        return (*unshare, "sh", "-c", MOUNT, self._options.shm, *argv)


@api.hookimpl
def bench_register_launchers() -> list[api.LauncherSpec]:
    spec = api.LauncherSpec(
        name="tinybox",
        summary="this machine, with a /dev/shm as small as that of a container",
        options=Options,
        this_machine=True,
        factory=lambda options, _context: TinyBox(options),
    )
    return [spec]
