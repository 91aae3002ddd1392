"""Installed plugins, found and created as in a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from tokenbench.api import Amendment, LaunchPlan, PluginContext
from tokenbench.guard.call import call
from tokenbench.load.codecs import BUILT_IN
from tokenbench.plan.layers import amendment_layers, merge
from tokenbench.plugins.instances import NO_OPTIONS, PluginInstances
from tokenbench.plugins.kinds import BY_NAME, Kind
from tokenbench.plugins.registry import PluginRegistry, owner_of
from tokenbench.suite.options import build_options
from tokenbench.suite.schema import PluginRef, YamlOptions


@attrs.frozen(kw_only=True)
class Installed:
    """A plugin of an installed distribution.

    `spec`: what its hook registered; for amendments and observers the module itself. `options`: an
    instance of its options class, None if its kind has no options.
    """

    kind: str
    name: str
    module: str
    distribution: str
    spec: Any
    options: Any


def installed(kind: str, name: str, options: Mapping[str, Any]) -> Installed:
    """A plugin with these options.

    Args:
        name: as a user types it; ``DIST/NAME`` if it is ambiguous.
        options: values by name, as in a suite.

    Raises:
        UsageError: its options are invalid.
        PluginError: there is no such plugin, or it cannot be loaded.
    """
    registry = PluginRegistry()
    candidate = registry.candidate(kind, name)
    spec = registry.spec(kind, name)
    # For amendments and observers, `spec` is the module, whose `options` are not plugin options.
    made = (
        getattr(spec, "options", None)
        if BY_NAME[kind].spec_name
        else registry.use_class(candidate.module)
    )
    return Installed(
        kind=kind,
        name=candidate.name,
        module=candidate.module,
        distribution=candidate.distribution,
        spec=spec,
        options=call(
            owner_of(candidate),
            "its options",
            "options",
            lambda: build_options(made, options, where=f"{kind} {name}"),
        )
        if made
        else None,
    )


def kind_of(name: str) -> Kind:
    """The kind of plugins with this name: its entry-point group, hook and spec.

    Raises:
        KeyError: there is none.
    """
    return BY_NAME[name]


def plugin_context() -> PluginContext:
    """The context that a factory receives, with access to other installed engines by name."""
    # Plugins are discovered only on use: it takes a while, and only orchestrators need it.
    return PluginContext(
        engine=lambda name, options=NO_OPTIONS: PluginInstances(PluginRegistry()).engine(
            PluginRef.of(name, YamlOptions(options))
        )
    )


def codec_names() -> frozenset[str]:
    """Names of the built-in codecs and of those that installed plugins register."""
    return frozenset((*BUILT_IN, *PluginRegistry().names("codec")))


def amended(engine: str, plan: LaunchPlan, amendment: Amendment) -> LaunchPlan:
    """The plan of the engine with this name, with an amendment applied.

    Raises:
        UsageError: a flag does not match its grammar.
    """
    return merge(plan, engine, amendment_layers([("kit", amendment)]), [amendment])[0]
