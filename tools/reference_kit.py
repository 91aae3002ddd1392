"""The pages of the conformance kit: what an author gives, what a plugin implements, every check.

All of it is read from the code: the base classes of `tokenbench_testing`, the protocols and specs
of `tokenbench.api`, and the docstrings of the checks.
"""

from __future__ import annotations

import ast
import inspect
import sys
from abc import ABC
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import attrs
from reference_text import markdown, table

from tokenbench import api
from tokenbench.api import hookspecs
from tokenbench.plugins.kinds import KINDS, Kind
from tokenbench_testing import cases
from tokenbench_testing.kit import KitCheck, all_checks, checks_of

_LEVELS = (
    ("0", "package and import", "`bench plugins check`, pytest"),
    ("1", "data of the spec", "`bench plugins check`, pytest"),
    ("2", "behaviour, without a server", "`bench plugins check`, pytest"),
    ("3", "life cycle against a scripted server", "pytest"),
    ("4", "the real thing, if it is on this machine; otherwise skipped with the reason", "pytest"),
)


def kit_pages() -> dict[str, str]:
    """Path below docs/reference and text of each page."""
    pages = {f"kit/{kind.name}.md": "\n\n".join(_kind_page(kind)) + "\n" for kind in KINDS}
    return {"kit.md": "\n\n".join(_overview()) + "\n", **pages}


def data_of(kind: str) -> dict[str, Any]:
    """The data that the author of a kind may set in the test class, with the defaults."""
    kit = _kit(kind)
    return {name: getattr(kit, name) for name in inspect.get_annotations(kit) if name != "kind"}


def skipped_without(kind: str, name: str) -> list[str]:
    """The checks of a kind that are skipped if the author does not set `name`."""
    found = []
    for check in checks_of(kind):
        module = sys.modules[check.function.__module__]
        if name in _wanted(check.function, module, set()):
            found.append(check.name)
    return found


# -- the pages ------------------------------------------------------------------------------------


def _overview() -> Iterator[str]:
    common = [check for check in all_checks() if not check.kinds]
    yield "# The conformance kit"
    yield markdown(cases)
    yield table(("level", "checks", "run by"), _LEVELS)
    yield (
        "A check ends as `ok`, `failed` or `skipped` (with the reason: data of the author, "
        "hardware or a package is missing). `bench plugins check NAME[:key=value,...]` sets "
        "options and no other data; it ends with exit code 3 if a check failed."
    )
    yield "## By kind"
    lines = []
    for kind in KINDS:
        count = len(checks_of(kind.name)) - len(common)
        data = ", ".join(f"`{name}`" for name in data_of(kind.name)) or "none"
        link = f"[{kind.name}](kit/{kind.name}.md)"
        lines.append((link, f"`{_kit(kind.name).__name__}`", data, str(count)))
    yield table(("kind", "base class", "data of its own", "checks of its own"), lines)
    yield "## Data of every kind"
    yield markdown(cases.Kit)
    names = [name for name in inspect.get_annotations(cases.Kit) if name != "kind"]
    rows = [_data_row(cases.Kit, name) for name in names]
    yield table(("name", "type", "default"), rows)
    yield "## Checks of every kind"
    yield from _checks(common)


def _kind_page(kind: Kind) -> Iterator[str]:
    yield f"# The conformance kit: {kind.name}"
    yield f"`tokenbench_testing.{_kit(kind.name).__name__}`. {markdown(_kit(kind.name))}"
    yield "## In the test class"
    yield "`name` is required, `options` and `known_failures` are as [for every kind](../kit.md)."
    if data_of(kind.name):
        rows = []
        for name in data_of(kind.name):
            skipped = ", ".join(f"`{check}`" for check in skipped_without(kind.name, name))
            rows.append((*_data_row(_kit(kind.name), name), skipped))
        yield table(("name", "type", "default", "checks skipped without it"), rows)
    yield "## In the plugin"
    yield "\n".join(_contract(kind))
    yield "## Checks"
    yield "Besides the [checks of every kind](../kit.md#checks-of-every-kind):"
    yield from _checks([check for check in checks_of(kind.name) if check.kinds])


def _checks(checks: list[KitCheck]) -> Iterator[str]:
    for level in sorted({check.level for check in checks}):
        yield f"Level {level}:"
        rows = []
        for check in checks:
            if check.level == level:
                text = " ".join(markdown(check.function).split())
                wanted, _, fix = text.partition(" To fix: ")
                rows.append((f"`{check.name}`", wanted, fix))
        yield table(("check", "requirement", "to fix"), rows)


def _data_row(kit: type[Any], name: str) -> tuple[str, str, str]:
    annotation = inspect.get_annotations(kit)[name].removeprefix("ClassVar[").removesuffix("]")
    default = getattr(kit, name)
    required = kit is cases.Kit and name == "name"
    return f"`{name}`", f"`{annotation}`", "required" if required else f"`{default!r}`"


# -- what a plugin implements ---------------------------------------------------------------------


def _contract(kind: Kind) -> Iterator[str]:
    """The entry point, the hook, the spec, and the members of each base class."""
    yield f'* Entry-point group: `{kind.group}`, `NAME = "MODULE"`.'
    if kind.spec_name is None:
        wanted = "amend" if kind.name == "amendment" else "observe"
        names = [name for name in vars(hookspecs) if name.startswith("bench_")]
        names = [n for n in names if not n.startswith("bench_register_")]
        names = [n for n in names if (n == "bench_amend_launch") == (wanted == "amend")]
        links = ", ".join(f"[`{name}`](../hooks.md#{name})" for name in names)
        yield f"* Hook: {links}." if len(names) == 1 else f"* At least one hook of: {links}."
        if wanted == "amend":
            yield _members_line(api.Amendment)
        return
    yield f"* Hook: [`{kind.hook}`](../hooks.md#{kind.hook}), which returns specs."
    yield _members_line(kind.spec)
    for base in _bases(kind):
        yield _members_line(base)


def _bases(kind: Kind) -> list[type[Any]]:
    """The base classes of the module that defines the kind's own."""
    own = getattr(api, kind.name.capitalize(), None)
    values = [getattr(api, name) for name in api.__all__]
    found = [v for v in values if inspect.isclass(v) and ABC in v.__bases__]
    if own is None:
        return [api.Tokenizer] if kind.name == "model" else []
    found = [v for v in found if v.__module__ == own.__module__]
    return sorted(found, key=lambda v: v is not own)


def _members_line(cls: Any) -> str:
    """A base class or a spec: what must be given, and what has a default."""
    required, optional = _attrs_fields(cls) if attrs.has(cls) else _members(cls)
    module = cls.__module__.rpartition(".")[2]
    link = f"[`{cls.__name__}`](../api/{module}.md#{cls.__name__.lower()})"
    parts = [f"required: {', '.join(f'`{name}`' for name in required)}"]
    if optional:
        parts.append(f"with a default: {', '.join(f'`{name}`' for name in optional)}")
    return f"* {link}, {'; '.join(parts)}."


def _attrs_fields(cls: Any) -> tuple[list[str], list[str]]:
    fields = attrs.fields(cls)
    required = [field.name for field in fields if field.default is attrs.NOTHING]
    return required, [field.name for field in fields if field.name not in required]


def _members(cls: type[Any]) -> tuple[list[str], list[str]]:
    defined = [n for n in (*inspect.get_annotations(cls), *vars(cls)) if not n.startswith("_")]
    names = list(dict.fromkeys(defined))
    required = [
        name
        for name in names
        if not hasattr(cls, name) or getattr(getattr(cls, name), "__isabstractmethod__", False)
    ]
    return required, [name for name in names if name not in required]


# -- which checks need which data -----------------------------------------------------------------


def _kit(kind: str) -> type[Any]:
    found: type[Any] = getattr(cases, f"{kind.capitalize()}Kit")
    return found


def _wanted(function: Any, module: Any, seen: set[str]) -> set[str]:
    """The keys that a check passes to `Subject.want`, itself or through helpers of its module."""
    seen.add(function.__name__)
    tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(function)))
    found: set[str] = set()
    for call in (node for node in _always_run(tree) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        texts = {arg.value for arg in call.args if isinstance(arg, ast.Constant)}
        helper = getattr(module, name, None)
        if name == "subject.want":
            found |= {str(text) for text in texts}
        elif isinstance(helper, FunctionType) and helper.__module__ == module.__name__:
            if name not in seen:
                found |= _wanted(helper, module, seen)
            if "subject.want(key" in inspect.getsource(helper):
                found |= {str(text) for text in texts}
    return found


def _always_run(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a function without the blocks that need data: ``if subject.data.get(...)``."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and "subject.data.get" in ast.unparse(node.test)):
            yield node
            yield from _always_run(node)
