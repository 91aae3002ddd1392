"""What becomes of a run over two hosts when one of its processes is killed or ended.

``python benchmarks/two_hosts_faults.py``: for each process from `bench` to the rank of the engine
on the second host, each signal, and each moment, a run (42 runs, 10 minutes). Prints a table in
Markdown; exits with 1 if a run left a process, a folder or a port on either host or here, or has no
final state. The hosts are namespaces of this machine, with sshd: it needs root, iproute2 and
OpenSSH.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from two_hosts import hosts, missing
from two_hosts.faults import MOMENTS, SIGNALS, TARGETS, Outcome, strike

HEAD = """\
| process | signal | moment | exit code | state | left | until the end | problems |
| --- | --- | --- | --- | --- | --- | --- | --- |"""


def row(one: Outcome) -> str:
    """A row of the table."""
    cells = (
        *(one.target, one.fault, one.moment, one.exit_code, one.state, len(one.left)),
        *(f"{one.seconds:.1f} s", "; ".join(one.problems) or "none"),
    )
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"


def main() -> None:
    """Run all that match the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", choices=TARGETS, action="append")
    parser.add_argument("--moment", choices=MOMENTS, action="append")
    args = parser.parse_args()
    if (why := missing()) is not None:
        sys.exit(f"no hosts here: {why}")
    cases = list(itertools.product(args.target or TARGETS, SIGNALS, args.moment or MOMENTS))
    print(HEAD, flush=True)
    wrong = 0
    with tempfile.TemporaryDirectory() as folder, hosts(Path(folder)) as found:
        for number, (target, fault, moment) in enumerate(cases):
            outcome = strike(found, Path(folder, f"run-{number}"), target, fault, moment)
            print(row(outcome), flush=True)
            print(f"{outcome.said}\n", file=sys.stderr)
            wrong += bool(outcome.problems)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
