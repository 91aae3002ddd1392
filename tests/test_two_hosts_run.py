"""A server with ranks on two hosts is planned, started by ssh, measured and stopped; and killed.

``benchmarks/two_hosts_faults.py`` kills each process of it at each moment.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import two_hosts
from two_hosts.faults import SUITE, Run, strike

WHY_NOT = two_hosts.missing()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[two_hosts.Hosts]:
    """Two hosts."""
    with two_hosts.hosts(tmp_path_factory.mktemp("hosts")) as found:
        yield found


def test_run_over_two_hosts(hosts, tmp_path: Path) -> None:
    """Every token comes from ranks on both, telemetry too; nothing is left on either."""
    with Run(hosts, tmp_path / "run") as run:
        end = run.outcome("nothing", "", "")
    assert (end.exit_code, end.state, end.problems) == (0, "complete", []), run.said
    (directory,) = (tmp_path / "run/runs").iterdir()
    (logs,) = (directory / "logs").iterdir()
    assert (logs / "server-0.log").read_text().startswith("2 of 2 ranks are here\n")
    assert (logs / "server-0-1.log").read_text().startswith("rank 1 is at 198.18.0.2\n")
    (result,) = map(json.loads, (directory / "results.jsonl").read_text().splitlines())
    checks = {check["name"]: check for check in result["checks"]}
    assert checks["server agreement"]["outcome"] == "ok", checks["server agreement"]
    assert result["hardware"] == "cpu"  # Nobody looked at this machine's.
    facts = json.loads((directory / "provenance.json").read_text())
    (samples,) = (directory / "telemetry").iterdir()
    for name in ("east", "west"):
        assert [key for key in facts if key.startswith(f"hardware.cpu on {name}.")]
        assert facts[f"host.{name}.kernel"] == facts["kernel"]
        rows = [json.loads(r) for r in (samples / f"{name}-cpu.jsonl").read_text().splitlines()]
        assert {row["host"] for row in rows} == {name}
        assert len(rows) > 3 and all(row["utilization"] is not None for row in rows[1:])


def test_plan_of_ranks(cli, tmp_path: Path) -> None:
    """It needs no host: symbols are bound when it runs."""
    (tmp_path / "suite.yaml").write_text(SUITE.format(config="/no/such/file", slow_s=0))
    done = cli("plan", "suite.yaml")
    assert done.code == 0, done.err
    assert "--rank {rank} --ranks 2 --leader {leader.host}" in done.out


@pytest.mark.parametrize(
    ("target", "fault", "moment"),
    [("bench", "KILL", "in a point"), ("sshd", "KILL", "before ready")],
)
def test_killed(hosts, tmp_path: Path, target: str, fault: str, moment: str) -> None:
    """Nothing is left: no process, no folder, no port, on neither host nor here."""
    end = strike(hosts, tmp_path / "run", target, fault, moment)
    assert end.problems == [], end
    assert end.exit_code == (-9 if target == "bench" else 5)
    assert ("server-0-1 on west cannot be reached any more" in end.said) == (target != "bench")
