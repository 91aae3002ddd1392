"""Amends tinyengine on Tiny chips: enables its log, and adds a process that keeps chips awake."""

import itertools
import sys
import time
import urllib.error
import urllib.request

from tokenbench import api

WHY = "a T1 sleeps after 5 s without a heartbeat; the log shows its last requests (T1 data sheet)"


@api.hookimpl
def bench_amend_launch(request: api.AmendRequest, plan: api.LaunchPlan) -> api.Amendment | None:
    if (request.engine, request.request.hardware.kind) != ("tinyengine", "tinychip"):
        return None
    heart = api.ProcessSpec(
        role="sidecar",
        argv=(sys.executable, "-P", "-m", "tinywatch"),
        flags={"--watch": "http://{server.0.host}:{server.0.port:http}/health"},
        ports=(),
    )
    return api.Amendment(
        reason=WHY,
        flags=api.FrozenMap({"server": api.FrozenMap({"--log": True})}),
        environment=api.FrozenMap({"server": api.FrozenMap({"TINY_KEEP_AWAKE": "1"})}),
        processes=(heart,),
    )


def beat(url: str) -> None:
    """Check the server once a second and print the result."""
    for number in itertools.count():
        try:
            with urllib.request.urlopen(url, timeout=1) as reply:  # noqa: S310 - our own server
                print(f"beat {number}: {reply.read().decode()}", flush=True)
        except urllib.error.URLError as error:
            print(f"beat {number}: {error.reason}", flush=True)
        time.sleep(1)


if __name__ == "__main__":
    beat(sys.argv[sys.argv.index("--watch") + 1])
