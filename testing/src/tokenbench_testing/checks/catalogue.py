"""A hardware plugin's catalogue: plain data, each figure in its unit and with its source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tokenbench.api import OWNERSHIP, Hardware, Sku
from tokenbench_testing.kit import Subject, check, fail, skip

from .model import is_iso_date

# Plausible range of each field in its unit. Values outside are in another unit (GB, TB/s, kW,
# TFLOP/s).
SKU_RANGES = {
    "memory_bytes": (1e6, 1e15),
    "memory_bandwidth_bytes_s": (1e8, 1e16),
    "tdp_w": (0.5, 1e5),
    "scale_up_size": (1, 1e6),
    "scale_up_bandwidth_bytes_s": (1e7, 1e15),
    "scale_out_bandwidth_bytes_s": (1e7, 1e14),
    "accelerators_per_host": (1, 1e4),
    "host_link_bandwidth_bytes_s": (1e7, 1e14),
    "all_in_w": (0.5, 1e6),
}
_FLOPS_RANGE = (1e9, 1e19)
_USD_RANGE = (1e-4, 1e4)


def hardware_of(subject: Subject) -> Hardware:
    """The object that the factory returns."""
    made = subject.create()
    if not isinstance(made, Hardware):
        skip("see hardware-factory-returns-hardware")
    return made


def catalogue_of(subject: Subject) -> tuple[Sku, ...]:
    """All SKUs; skips if the catalogue is not a sequence of them."""
    skus = hardware_of(subject).catalogue()
    if not isinstance(skus, Sequence) or not all(isinstance(sku, Sku) for sku in skus):
        skip("see catalogue-is-a-sequence-of-skus")
    return tuple(skus)


@check(2, "hardware")
def hardware_factory_returns_hardware(subject: Subject) -> None:
    """`factory(options, context)` returns a `tokenbench.api.Hardware`.

    To fix: derive the class from Hardware and return an instance of it.
    """
    made = subject.create()
    if not isinstance(made, Hardware):
        fail(f"the factory returned a {type(made).__name__}")


@check(2, "hardware")
def catalogue_is_a_sequence_of_skus(subject: Subject) -> None:
    """`catalogue()` returns a list or tuple of `Sku`.

    To fix: create each entry with Sku(...), and return all of them at once.
    """
    skus = hardware_of(subject).catalogue()
    if not isinstance(skus, Sequence):
        fail(f"the catalogue is a {type(skus).__name__}")
    for sku in skus:
        if not isinstance(sku, Sku):
            fail(f"{sku!r} is not a Sku")


@check(2, "hardware")
def accelerators_have_a_catalogue(subject: Subject) -> None:
    """Hardware with accelerators has at least one chip in its catalogue.

    To fix: add an Sku for each chip, or set domain="cpu" or "host" if it reads their power.
    """
    if not subject.spec.accelerated:
        skip("it has no accelerators")
    if not catalogue_of(subject):
        fail("the catalogue is empty")


@check(2, "hardware")
def catalogue_is_pure(subject: Subject) -> None:
    """The catalogue is constant, also in another instance.

    To fix: build it from constants at import; facts of this machine belong in probe().
    """
    if tuple(catalogue_of(subject)) != tuple(catalogue_of(subject)):
        fail("a second call of catalogue() gives a different result")


@check(2, "hardware")
def catalogue_names_are_unique(subject: Subject) -> None:
    """Names in the catalogue are unique.

    To fix: name variants differently (h100, h100-pcie).
    """
    fail_on_duplicates([sku.name for sku in catalogue_of(subject)], "entries have the name")


@check(2, "hardware")
def aliases_are_lower_case(subject: Subject) -> None:
    """Aliases are lower case, without surrounding spaces: they are compared with a driver's text.

    To fix: write them in lower case.
    """
    for sku in catalogue_of(subject):
        for alias in sku.aliases:
            if alias != alias.lower().strip() or not alias:
                fail(f"{sku.name} has the alias {alias!r}")


@check(2, "hardware")
def aliases_are_unique(subject: Subject) -> None:
    """A driver's name identifies one chip.

    To fix: give each alias to one entry; chips that a driver cannot distinguish are one entry.
    """
    fail_on_duplicates(
        [a for sku in catalogue_of(subject) for a in sku.aliases], "entries have the alias"
    )


@check(2, "hardware")
def skus_have_source_and_date(subject: Subject) -> None:
    """Each figure of a chip has a source, and a date (2026-11 or 2026-11-21).

    To fix: name the data sheet, and the day or month you read it: `source` and `date` of the Sku
    for all its figures, `sources` for single ones. A cost set has its own.
    """
    for sku in catalogue_of(subject):
        origins = {sku.name: (sku.source, sku.date)}
        origins |= {f"{sku.name}.{f.name}": (f.source, f.date) for f in sku.figures()}
        origins |= {f"{sku.name}.costs[{c.version}]": (c.source, c.date) for c in sku.costs}
        for name, (source, date) in origins.items():
            if not source.strip() or not is_iso_date(date):
                fail(f"{name}: source {source!r}, date {date!r}")


@check(2, "hardware")
def sku_sources_name_figures(subject: Subject) -> None:
    """Each key of `sources` is a figure that the chip has: `tdp_w`, `dense_flops.fp8`.

    To fix: look for a misspelt name, or remove the source of a figure that no longer exists.
    """
    for sku in catalogue_of(subject):
        names = {f.name for f in sku.figures() if f.version is None}
        names |= {name.partition(".")[0] for name in names}
        for key in sku.sources:
            if key not in names:
                fail(f"{sku.name}.sources has {key!r}, figures: {', '.join(sorted(names))}")


@check(2, "hardware")
def sku_precisions_include_those_with_flops(subject: Subject) -> None:
    """`precisions`, if given, include each data type of `dense_flops`.

    To fix: list all data types that the chip computes in.
    """
    for sku in catalogue_of(subject):
        for kind in sku.dense_flops:
            if sku.precisions and kind not in sku.precisions:
                fail(f"{sku.name} has dense_flops[{kind}], its precisions: {sku.precisions}")


@check(2, "hardware")
def cost_sets_are_distinct(subject: Subject) -> None:
    """Cost sets of a chip differ in version and in date: the newest has the current price.

    To fix: give each set a version of its own, and the date from which it is valid.
    """
    for sku in catalogue_of(subject):
        for field in ("version", "date"):
            fail_on_duplicates(
                [getattr(costs, field) for costs in sku.costs],
                f"cost sets of {sku.name} have the {field}",
            )


@check(2, "hardware")
def prices_are_of_known_ownership_models(subject: Subject) -> None:
    """Prices are those of `tokenbench.api.OWNERSHIP`, so that chips can be compared.

    To fix: use one of its names as key of `usd_per_hour`.
    """
    for sku in catalogue_of(subject):
        for costs in sku.costs:
            for model in costs.usd_per_hour:
                if model not in OWNERSHIP:
                    fail(f"{sku.name}: {model!r} is not one of {', '.join(OWNERSHIP)}")


@check(2, "hardware")
def sku_figures_are_positive(subject: Subject) -> None:
    """Unknown figures of a chip are None, never 0 or -1.

    To fix: omit the field.
    """
    for name, value, _ in _figures(catalogue_of(subject)):
        if value <= 0:
            fail(f"{name} is {value}")


@check(2, "hardware")
def sku_figures_are_in_their_units(subject: Subject) -> None:
    """Figures are in bytes, bytes per second, watts and FLOP/s, as their names say.

    To fix: convert; 80 GiB is 80 << 30 bytes, 989 TFLOP/s is 989e12, 400 Gbit/s is 50e9 bytes/s,
    1.37 kW is 1370 W.
    """
    for name, value, (least, most) in _figures(catalogue_of(subject)):
        if value > 0 and not least <= value <= most:
            fail(f"{name} is {value:g}, expected {least:g} to {most:g}: is it in another unit?")


def _figures(skus: Sequence[Sku]) -> Iterator[tuple[str, float, tuple[float, float]]]:
    """Each known figure with its name and the plausible range."""
    for sku in skus:
        for figure in sku.figures():
            field = figure.name.rpartition("].")[2]
            kind = field.partition(".")[0]
            limits = {"dense_flops": _FLOPS_RANGE, "usd_per_hour": _USD_RANGE}.get(kind)
            limits = limits or SKU_RANGES.get(field)
            if limits is not None:
                yield f"{sku.name}.{figure.name}", figure.value, limits


def fail_on_duplicates(names: Sequence[object], what: str) -> None:
    """Fail if a name occurs more than once."""
    for name in names:
        if names.count(name) > 1:
            fail(f"{names.count(name)} {what} {name!r}")
