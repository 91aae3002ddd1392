"""Maps the jobs of InferenceX's generator to topologies: ``tools/topologies.py ROWS.jsonl``.

Prints the distinct shapes, and the rows whose expert parallelism spans more accelerators than tp x
pp x pcp, with the reference's count of accelerators (workers x tp x pp x pcp) and ours.
"""

from __future__ import annotations

import collections
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from tokenbench.api import Layout, Pool, Topology

Row = dict[str, Any]


@attrs.frozen(kw_only=True)
class Mapped:
    """A row as a layout, with the reference's count. `why`: how wide EP was read."""

    layout: Layout
    reference: int
    why: tuple[str, ...]

    @property
    def shape(self) -> str:
        """``serve:1xtp8ep8``; pools are joined by a plus."""
        return "+".join(f"{p.role}:{p.replicas}x{p.topology.label}" for p in self.layout.pools)


def mapped(row: Row) -> Mapped:
    """The layout of a row."""
    found = [_pool(role, part, row) for role, part in _parts(row)]
    return Mapped(
        layout=Layout(pools=tuple(pool for pool, _, _ in found)),
        reference=sum(count for _, count, _ in found),
        why=tuple(why for _, _, why in found if why is not None),
    )


def _parts(row: Row) -> Iterator[tuple[str, Row]]:
    """The pools of a row. An aggregated row may have its pool under ``prefill``."""
    if "prefill" not in row:
        yield "server", {**row, "num-worker": 1}
        return
    for role in ("prefill", "decode"):
        if row[role]["num-worker"]:
            yield role if row["disagg"] else "server", row[role]


def _pool(role: str, part: Row, row: Row) -> tuple[Pool, int, str | None]:
    tp, pp, pcp, ep = part["tp"], part["pp"], part["pcp-size"], part["ep"]
    workers, ranks = part["num-worker"], tp * pp * pcp
    dp, attention_dp, why = 1, 1, None
    if ep > ranks:
        # vLLM's EP group has the ranks of all DP engines: tp x dp (engine-facts, 2026-11).
        dp = ep // ranks
        why = f"{role}: EP {ep} spans {dp} DP ranks of {ranks}"
        if workers == dp and not row["disagg"]:
            why += f"; its {workers} workers are these ranks"
            workers = 1
    elif part["dp-attn"] and row["framework"].endswith("vllm"):
        # vLLM has no attention DP inside TP: each rank is a DP engine.
        tp, dp = 1, tp
    elif part["dp-attn"]:
        attention_dp = tp
    topology = Topology(
        tp=tp, pp=pp, dp=dp, ep=ep, attention_dp=attention_dp, dcp=part["dcp-size"], pcp=pcp
    )
    reference = part["num-worker"] * part["tp"] * pp * pcp
    return Pool(role=role, topology=topology, replicas=workers), reference, why


def main(file: Path) -> None:
    """Print the table and the list."""
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    found = [mapped(row) for row in rows]
    shapes = collections.Counter((one.shape, one.layout.accelerators) for one in found)
    print(f"{len(rows)} rows, {len(shapes)} shapes")
    print("  rows  accelerators  shape")
    for (shape, accelerators), count in sorted(
        shapes.items(), key=lambda item: (-item[1], item[0])
    ):
        print(f"{count:6}{accelerators:14}  {shape}")
    wide = collections.Counter(
        (row["framework"], row["model-prefix"], one.shape, one.reference, one.layout.accelerators,
         "; ".join(one.why))
        for row, one in zip(rows, found, strict=True)
        if one.why
    )  # fmt: skip
    print(f"\n{wide.total()} rows with ep > tp x pp x pcp")
    print("  rows  reference  ours  framework, model, shape: why")
    for (framework, model, shape, reference, ours, why), count in sorted(wide.items()):
        print(f"{count:6}{reference:11}{ours:6}  {framework}, {model}, {shape}: {why}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
