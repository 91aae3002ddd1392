"""Derived numbers of a report's points: costs at rates of the hardware catalogue and of a user's
file, and the speed of light.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tokenbench.api.errors import BenchError

if TYPE_CHECKING:
    from tokenbench.api import Architecture, ModelSpec, Sku, View
    from tokenbench.economics.rates_file import UserRates
    from tokenbench.plugins.catalogue import Catalogue
    from tokenbench.plugins.instances import PluginInstances
    from tokenbench.plugins.registry import PluginRegistry


def with_economics(registry: PluginRegistry, view: View, file: Path | None) -> View:
    """The view with derived numbers: `View.economics`, and those of its first set of rates and the
    shares of the speed of light as metrics of the results.

    Raises:
        UsageError: the file of rates cannot be read.
    """
    import attrs

    from tokenbench.economics.attach import with_metrics
    from tokenbench.economics.composition import compositions
    from tokenbench.economics.definitions import DERIVED
    from tokenbench.economics.point_bounds import speed_of_light
    from tokenbench.economics.points import catalogue_rates, economics_of
    from tokenbench.plugins.catalogue import read_catalogue

    own = read_rates(file)
    catalogue = read_catalogue(registry)
    results = [result for run in view.runs for result in run.results]
    chips = {result.hardware: sku_of(catalogue, result.hardware) for result in results}
    sets = catalogue_rates(
        (entry.sku for entry in catalogue.entries),
        own.rates if own else None,
        file.name if file else "",
    )
    economics = economics_of(
        results,
        # A user's file may have rates of hardware that no catalogue has.
        [chip.name if (chip := chips[r.hardware]) else r.hardware or None for r in results],
        sets,
        own.prices if own else (),
    )
    bounds = speed_of_light(
        results, [chips[result.hardware] for result in results], _models(registry, view)
    )
    costs = economics.rates[0].columns if economics.rates else ()
    return attrs.evolve(
        view,
        runs=with_metrics(view.runs, (*bounds, *costs)),
        definitions=(*view.definitions, *DERIVED),
        economics=attrs.evolve(economics, compositions=compositions(results)),
    )


def _models(registry: PluginRegistry, view: View) -> list[Architecture | None]:
    """The model's architecture of each result: as its run recorded it, else from an installed
    plugin, else None.
    """
    from tokenbench.plugins.instances import PluginInstances

    plugins = PluginInstances(registry.apart())
    registered: dict[str, Architecture | None] = {}
    found = []
    for run in view.runs:
        for result in run.results:
            name = result.model
            if name not in run.architectures and name not in registered:
                registered[name] = _registered(plugins, name)
            found.append(run.architectures.get(name) or registered.get(name))
    return found


def _registered(plugins: PluginInstances, name: str) -> Architecture | None:
    try:
        spec: ModelSpec = plugins.spec("model", name)
    except BenchError:
        return None
    return spec.architecture


def read_rates(file: Path | None) -> UserRates | None:
    """A user's rates and prices; None without a file.

    Raises:
        UsageError: the file cannot be read.
    """
    if file is None:
        return None
    from tokenbench.economics.rates_file import parse_rates
    from tokenbench.suite.yaml_lines import read

    return parse_rates(read(file, "file of rates"))


def sku_of(catalogue: Catalogue, name: str) -> Sku | None:
    """The catalogue's SKU; None if it has none of that name."""
    try:
        return catalogue.find(name).sku
    except BenchError:
        return None
