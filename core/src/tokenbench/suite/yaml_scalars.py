"""The YAML loader of suites: plain scalars are those of JSON, everything else is text.

YAML 1.1 reads ``on`` and ``no`` as booleans, ``12:30`` as 750, ``017`` as 15 and ``1e-5`` as text;
YAML 1.2 does not. A suite must not depend on that.
"""

from __future__ import annotations

import functools
import re
from typing import Any

TAG = "tag:yaml.org,2002:"
TEXT = f"{TAG}str"

_NUMBER = r"[-+]?(?:0|[1-9][0-9]*)"
_DECIMAL = rf"(?:{_NUMBER}(?:\.[0-9]*)?|[-+]?\.[0-9]+)"
_SCALARS = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", _NUMBER, list("-+0123456789")),
    (
        "float",
        rf"{_DECIMAL}(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+0123456789."),
    ),
)


@functools.cache
def loader_class() -> Any:
    """A loader of plain data. A function: runs without a suite file need no YAML."""
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - the parent's type

    for name, pattern, first in _SCALARS:
        Loader.add_implicit_resolver(TAG + name, re.compile(rf"(?:{pattern})\Z"), first)
    return Loader
