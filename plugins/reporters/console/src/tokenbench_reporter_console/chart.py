"""A chart of the frontier in characters: throughput per accelerator against interactivity."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterator, Sequence

import attrs

from tokenbench.api import PointResult

Spot = tuple[float, float]
"""Interactivity (tokens/s of a user), throughput (tokens/s of an accelerator)."""
MIN_WIDTH = 70
MIN_POINTS = 3
_MAX_SERIES = 8
_HEIGHT = 15
_THROUGHPUT = "total_tok_s_per_accelerator"
_INTERACTIVITY = "interactivity_tok_s.p50"
_COLORS = ("cyan", "magenta", "green", "yellow", "blue", "red", "bright_cyan", "bright_magenta")


@attrs.frozen
class Series:
    """All points of one model, precision, engine, hardware and speculation, any layout."""

    name: str
    spots: tuple[Spot, ...]

    @property
    def frontier(self) -> list[Spot]:
        """The points that no other point beats in both, from slow to fast users."""
        best: list[Spot] = []
        for spot in sorted(self.spots, reverse=True):
            if not best or spot[1] > best[-1][1]:
                best.append(spot)
        return best[::-1]


@attrs.frozen
class Chart:
    """The series with most points of one workload; `window` is that of the throughput, `left_out`
    the number of series that are not drawn.
    """

    series: tuple[Series, ...]
    window: str
    left_out: int

    def lines(self, width: int) -> Iterator[list[tuple[str, str]]]:
        """Each line as pieces of text with a style; no line ends with a space."""
        right = max(x for s in self.series for x, _ in s.spots)
        top = max(y for s in self.series for _, y in s.spots)
        labels = {_HEIGHT - 1: "0", _HEIGHT // 2: _number(top / 2), 0: _number(top)}
        margin = max(map(len, labels.values()))
        columns = min(width, 100) - margin - 2
        grid = self._grid(columns, right, top)
        window = "" if self.window == "steady" else f", {self.window}"
        yield [(f"{'':{margin}} total per accelerator{window}, tok/s", "dim")]
        for row, cells in enumerate(grid):
            last = max((i for i, (mark, _) in enumerate(cells) if mark != " "), default=-1)
            yield [(f"{labels.get(row, ''):>{margin}} │", "dim"), *cells[: last + 1]]
        yield [(f"{'':{margin}} └{'─' * columns}", "dim")]
        middle, end = _number(right / 2), _number(right)
        title = "interactivity p50, tok/s/user"
        axis = f"0{middle:^{columns - 2 * len(end) - 2}}".ljust(columns - len(end)) + end
        yield [(f"{'':{margin}}  {axis}", "dim")]
        yield [(f"{'':{margin}}  {title:>{columns}}", "dim")]
        for letter, color, series in zip(
            string.ascii_uppercase, _COLORS, self.series, strict=False
        ):
            yield [(letter, color), (f" {series.name}", "")]
        shapes = "capital letter: on the frontier (dots); small letter: below it"
        several = "; *: several series" if any(("*", "") in row for row in grid) else ""
        more = (
            f"; {self.left_out} more series, with fewer or as many points, are not drawn"
            if self.left_out
            else ""
        )
        yield [(f"{shapes}{several}{more}", "dim")]

    def _marked(self) -> list[tuple[str, str, Series]]:
        """The series with their letters and colours."""
        return list(zip(string.ascii_uppercase, _COLORS, self.series, strict=False))

    def _grid(self, columns: int, right: float, top: float) -> list[list[tuple[str, str]]]:
        """Rows from the top; a cell is a character and its style."""
        grid = [[(" ", "")] * columns for _ in range(_HEIGHT)]

        def column(x: float) -> int:
            return round(x / right * (columns - 1))

        def row(y: float) -> int:
            return round((1 - y / top) * (_HEIGHT - 1))

        for _, color, series in self._marked():
            line = series.frontier
            for (x0, y0), (x1, y1) in itertools.pairwise(line):
                for at in range(column(x0) + 1, column(x1)):
                    x = at / (columns - 1) * right
                    grid[row(y0 + (y1 - y0) * (x - x0) / (x1 - x0))][at] = ("·", color)
        taken: dict[tuple[int, int], str] = {}
        for letter, color, series in self._marked():
            best = set(series.frontier)
            for spot in sorted(series.spots, key=best.__contains__):
                place = row(spot[1]), column(spot[0])
                mark = letter if spot in best else letter.lower()
                other = taken.setdefault(place, letter) != letter
                grid[place[0]][place[1]] = ("*", "") if other else (mark, color)
        return grid


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def chart_of(results: Sequence[PointResult]) -> Chart | None:
    """The chart of points of one workload; None if no series has enough points."""
    window = "steady" if any(_spot(r, "steady") for r in results) else "whole"
    groups: dict[str, list[Spot]] = {}
    for result in results:
        if spot := _spot(result, window):
            groups.setdefault(_name(result), []).append(spot)
    found = [Series(n, tuple(spots)) for n, spots in groups.items() if len(spots) >= MIN_POINTS]
    found.sort(key=lambda series: -len(series.spots))
    if not found:
        return None
    return Chart(tuple(found[:_MAX_SERIES]), window, max(0, len(found) - _MAX_SERIES))


def _name(point: PointResult) -> str:
    hardware = point.hardware if point.server is None else f"server {point.server}"
    drafts = None if point.speculation in (None, "none") else point.speculation
    return " ".join(filter(None, (point.model, point.precision, point.engine, hardware, drafts)))


def _spot(point: PointResult, window: str) -> Spot | None:
    x, y = point.mean(_INTERACTIVITY), point.mean(f"{_THROUGHPUT}.{window}")
    return (x, y) if x and y and x > 0 and y > 0 else None
