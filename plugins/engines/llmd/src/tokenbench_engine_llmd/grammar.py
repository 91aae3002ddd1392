"""How llm-d's programs write their flags, by their source (tools/capture_llmd_flags.py)."""

from __future__ import annotations

from tokenbench.api import FlagGrammar, FrozenMap, package_json

PACKAGE, EPP, SIDECAR = "tokenbench_engine_llmd", "epp", "pd-sidecar"


def grammar(program: str) -> FlagGrammar:
    """A switch is turned off by ``--flag=false``: Go's flags take no ``--no-flag``."""
    switches = [name for name, kind in package_json(PACKAGE)[program].items() if kind == "bool"]
    return FlagGrammar(negations=FrozenMap({f"{name}=false": name for name in switches}))
