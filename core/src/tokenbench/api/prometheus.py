"""Metrics pages in Prometheus' text format, as engines serve them.

Formats: prometheus.io, "Exposition formats", text-based format 0.0.4, and OpenMetrics 1.0 (read
2026-11). Not `prometheus_client.parser` (0.26.0): one bad line of a page makes it raise, it takes
an exemplar for a timestamp, and importing it costs more than all of `tokenbench.api`.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterable, Sequence

import attrs

from .frozen import FrozenMap
from .topology import SERVER

_TEXT = r'"(?:[^"\\]|\\.)*"'
# name, labels in braces (label values may contain any escaped character, also braces), value; a
# timestamp and an exemplar may follow.
_SAMPLE = re.compile(
    r"[ \t]*([a-zA-Z_:][a-zA-Z0-9_:]*)?[ \t]*(?:\{((?:[^\"}]|" + _TEXT + r")*)\})?[ \t]*"
    r"(?<=[ \t}])([^ \t{}]+)(?:[ \t]+[^ \t#]+)?[ \t]*(?:#.*)?\r?",
    re.DOTALL,
)
_LABEL = re.compile(r"(?:([a-zA-Z_][a-zA-Z0-9_]*|" + _TEXT + r")[ \t]*=[ \t]*)?(" + _TEXT + ")")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@attrs.frozen(kw_only=True)
class Series:
    """One sample of a page: its labels and its value."""

    labels: FrozenMap[str]
    value: float


@attrs.frozen(kw_only=True)
class Histogram:
    """Sum and count of all observations of a histogram or summary."""

    sum: float
    count: float

    @property
    def mean(self) -> float | None:
        """Sum over count; None without observations."""
        return self.sum / self.count if self.count > 0 else None

    def since(self, earlier: Histogram) -> Histogram | None:
        """The observations after `earlier`; None if they shrank: the server was restarted."""
        if self.count < earlier.count:
            return None
        return Histogram(sum=self.sum - earlier.sum, count=self.count - earlier.count)


@attrs.frozen(kw_only=True)
class MetricsPage:
    """A parsed metrics page, and the process that served it: what it does (`role`), the key of its
    pool, the `engine` that the pool names (None: that of the deployment), its replica (`index`) and
    its rank in the replica.

    `samples`: series by the name of the sample (``NAME_total``, ``NAME_bucket``).

    The methods take labels as keywords: ``page.sum("x_total", engine="0")``. They skip values that
    are not finite, and return None if nothing is left.
    """

    role: str = SERVER
    pool: str = SERVER
    engine: str | None = None
    index: int = 0
    rank: int = 0
    samples: FrozenMap[tuple[Series, ...]] = FrozenMap()

    def series(self, name: str, /, **labels: str) -> tuple[Series, ...]:
        """All series of a sample that have these labels."""
        found = self.samples.get(name, ())
        if not labels:
            return found
        return tuple(one for one in found if labels.items() <= one.labels.items())

    def sum(self, name: str, /, **labels: str) -> float | None:
        """Sum over series: of counters, and of gauges that count something."""
        return self._over(sum, name, labels)

    def max(self, name: str, /, **labels: str) -> float | None:
        """Largest of the series: of gauges that are shares or levels."""
        return self._over(max, name, labels)

    def mean(self, name: str, /, **labels: str) -> float | None:
        """Mean over series."""
        return self._over(lambda values: sum(values) / len(values), name, labels)

    def by(self, name: str, label: str, /, **labels: str) -> FrozenMap[float] | None:
        """Sums by the value of one label."""
        found: dict[str, float] = {}
        for one in self.series(name, **labels):
            if label in one.labels and math.isfinite(one.value):
                key = one.labels[label]
                found[key] = found.get(key, 0.0) + one.value
        return FrozenMap(found) if found else None

    def sum_without(self, name: str, label: str, values: Sequence[str], /) -> float | None:
        """Sum over the series whose label has none of these values."""
        found = self.by(name, label)
        return None if found is None else sum(n for of, n in found.items() if of not in values)

    def by_number(self, name: str, label: str, /) -> tuple[float, ...] | None:
        """Sums by a label whose values are numbers, in their order."""
        found = self.by(name, label)
        return None if found is None else tuple(found[at] for at in sorted(found, key=int))

    def histogram(self, name: str, /, **labels: str) -> Histogram | None:
        """A histogram or summary, added up over its series; None if its sum or count is missing."""
        total, count = self.sum(f"{name}_sum", **labels), self.sum(f"{name}_count", **labels)
        if total is None or count is None:
            return None
        return Histogram(sum=total, count=count)

    def _over(
        self, of: Callable[[list[float]], float], name: str, labels: dict[str, str]
    ) -> float | None:
        found = [one.value for one in self.series(name, **labels) if math.isfinite(one.value)]
        return of(found) if found else None


def parse_metrics(text: str, *, role: str = SERVER, index: int = 0) -> MetricsPage:
    """Parse a page. Lines that are not samples are skipped, and so are timestamps and exemplars.

    Never raises: an error page has no samples.
    """
    samples: dict[str, list[Series]] = {}
    for line in text.split("\n"):
        match = _SAMPLE.fullmatch(line)
        if match is None or (value := _number(match[3])) is None:
            continue
        quoted, labels = _labels(match[2] or "")
        name = match[1] or quoted
        if name is not None:
            samples.setdefault(name, []).append(Series(labels=labels, value=value))
    return MetricsPage(
        role=role,
        index=index,
        samples=FrozenMap({name: tuple(series) for name, series in samples.items()}),
    )


def merge_pages(pages: Iterable[MetricsPage]) -> MetricsPage:
    """One page with the series of all, so that sums are sums over all processes.

    Its role and index are those of the first page.
    """
    merged: dict[str, tuple[Series, ...]] = {}
    all_pages: Sequence[MetricsPage] = tuple(pages)
    for page in all_pages:
        for name, series in page.samples.items():
            merged[name] = merged.get(name, ()) + series
    first = all_pages[0] if all_pages else MetricsPage()
    return attrs.evolve(first, samples=FrozenMap(merged))


@functools.lru_cache(maxsize=8192)
def _labels(text: str) -> tuple[str | None, FrozenMap[str]]:
    """Labels, and the metric's name if it is quoted within the braces. The label sets of a server
    hardly change between its pages.
    """
    name, labels = None, {}
    for key, value in _LABEL.findall(text):
        if key:
            labels[_unquoted(key) if key.startswith('"') else key] = _unquoted(value)
        else:
            name = _unquoted(value)
    return name, FrozenMap(labels)


def _unquoted(text: str) -> str:
    if "\\" not in text:
        return text[1:-1]
    return _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], text[1:-1])


def _number(text: str) -> float | None:
    """A number as the format writes it, also ``NaN`` and ``+Inf``."""
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None
