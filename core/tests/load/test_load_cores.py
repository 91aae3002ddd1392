"""Which cores the engine and the load workers get."""

from __future__ import annotations

import pytest

from tokenbench.api import UsageError
from tokenbench.load.cores import WorkerCount, split_cores

AUTO = WorkerCount()


@pytest.mark.parametrize(
    ("cores", "concurrency", "engine", "workers"),
    [
        (1, 1, [0], [0]),
        (2, 1, [0], [1]),
        (2, 5000, [0], [1]),
        (64, 1, range(63), [63]),
        (64, 1000, range(63), [63]),
        (64, 1001, range(62), [62, 63]),
        (64, 16384, range(47), range(47, 64)),
        (8, 16384, range(4), range(4, 8)),
    ],
)
def test_load_workers_get_the_last_cores(
    cores: int, concurrency: int, engine: list[int], workers: list[int]
) -> None:
    """One per 1,000 requests in flight, at most half of the cores."""
    found = split_cores(AUTO, concurrency, tuple(range(cores)))
    assert (found.engine, found.workers) == (tuple(engine), tuple(workers))
    assert found.shared is (cores == 1)


def test_a_fixed_number_of_load_workers() -> None:
    """It may leave the engine a single core, but not none."""
    eight = tuple(range(8))
    found = split_cores(WorkerCount(fixed=7), 1, eight)
    assert (found.engine, found.workers) == ((0,), tuple(range(1, 8)))
    assert found.load_workers(WorkerCount(fixed=7), 1) == 7
    with pytest.raises(UsageError, match="8 load workers need a core each"):
        split_cores(WorkerCount(fixed=8), 1, eight)
    assert split_cores(WorkerCount(fixed=1), 1, (3,)).workers == (3,)


def test_a_calibration_changes_the_number() -> None:
    """The requests in flight that one load worker was seen to drive."""
    count = WorkerCount(concurrency_per_worker=256)
    cores = split_cores(count, 1024, tuple(range(64)))
    assert cores.workers == (60, 61, 62, 63)
    assert [cores.load_workers(count, c) for c in (1, 256, 257, 1024, 9999)] == [1, 1, 2, 4, 4]
