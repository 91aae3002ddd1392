"""The page members.md: for each member of the API, where core uses it, and when.

Found in the source of core. An attribute counts if its module names the class, if the object is
named after the class (``needs.codec`` for `EvalNeeds`), or, if there is none, if no other class has
such a member; a keyword argument counts if it is one of the class's. What is read without being
named (all fields of a class at once) stands in `READ_AS_A_WHOLE`.
"""

from __future__ import annotations

import ast
import enum
import inspect
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
import msgspec
from reference_text import table

from tokenbench import api

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "core" / "src" / "tokenbench"

WHEN = {
    "api": "by the API's own functions",
    "calibrate": "calibration",
    "cli": "commands",
    "compare": "comparison",
    "economics": "report",
    "evals": "in an eval",
    "harness": "conformance kit",
    "imports": "import",
    "launch": "start and stop",
    "load": "request path",
    "measure": "after a repeat",
    "plan": "planning",
    "plugins": "loading",
    "run": "before and after a point",
    "run.deployment": "start and stop",
    "run.evals": "in an eval",
    "run.evaluate": "in an eval",
    "run.negotiate": "start and stop",
    "run.results": "after a point",
    "run.starting": "start and stop",
    "run.telemetry": "while a deployment runs",
    "run.watch": "while a deployment runs",
    "store": "after a point",
    "suite": "planning",
    "telemetry": "while a deployment runs",
}
"""When the modules of a package, or a module, do their work."""

READ_AS_A_WHOLE = {
    "Architecture": "plugins.page",
    "Counters": "store.counters",
    "DeviceInfo": "run.device_facts",
    "EngineCapabilities": "plugins.capabilities",
    "EvalSample": "evals.worker",
    "HardwareSpec.catalogue_only": "plugins.capabilities",
    "PcieLink": "run.device_facts",
    "PointResult.schema_version": "store.results",
    "Question": "evals.worker",
    "Sample": "telemetry.collect",
    "Sku": "cli.hardware",
    "Topology": "plan.canonical",
    # Read under another name than that of the class.
    "DeviceSettings.groups": "plan.layers",
    "DeviceSettings.reason": "plan.layers",
    "Economics.compositions": "cli.rates",
    "Eval.needs": "plan.planner",
    "FlagGrammar.aliases": "api.flags",
    "LoadPlan.next": "run.deployment",
    "Message.content": "load.codecs",
    "Message.role": "load.codecs",
    "MetricsPage.pool": "run.scrape",
    "LaunchPlan.speculation": "run.results",
    "ModelSpec.aliases": "plugins.validate",
    "ModelSpec.tokenizer": "run.tokenizer",
    # Handed to engines, which choose flags by them, and to workloads, which encode text.
    "Parsers": "plan.model",
    "Tokenizer": "run.tokenizer",
}
"""Class, or ``Class.member``: the module of core that reads it without naming the member."""

PLANNED = {
    "Artifact.media_type": "reports that are served or attached to a pull request",
}
"""``Class.member`` without a use in core yet: the planned capability that needs it."""


@attrs.frozen
class Use:
    """Modules of core that read or call a member, and those that set it."""

    read: tuple[str, ...]
    set: tuple[str, ...]
    helper: bool

    @property
    def none(self) -> bool:
        """Whether neither core nor authors have it for a reason."""
        return not (self.read or self.set or self.helper)


@attrs.frozen
class _Module:
    name: str
    names: frozenset[str]
    attributes: frozenset[tuple[str, str]]
    keywords: frozenset[tuple[str, str]]


def uses() -> dict[str, Use]:
    """``Class.member`` of every class of the API, except enums and errors."""
    modules = [_module(file) for file in sorted(CORE.rglob("*.py")) if _counts(file)]
    helpers = [_module(file) for file in _authors()]
    classes = {name: getattr(api, name) for name in api.__all__}
    members = {name: _members(cls) for name, cls in classes.items() if inspect.isclass(cls)}
    number = Counter(member for names in members.values() for member in names)
    found = {}
    for cls, names in members.items():
        for member in names:
            whole = READ_AS_A_WHOLE.get(f"{cls}.{member}") or READ_AS_A_WHOLE.get(cls)
            read = {m.name for m in modules if _reads(m, cls, member)}
            if not read and number[member] == 1:
                read = {m.name for m in modules if member in {name for _, name in m.attributes}}
            found[f"{cls}.{member}"] = Use(
                read=tuple(sorted(read | ({whole} if whole else set()))),
                set=tuple(m.name for m in modules if _sets(m, cls, member)),
                # Of a class that the API itself implements: for authors.
                helper=_implemented(classes[cls], member)
                and any(member in {name for _, name in m.attributes} for m in helpers),
            )
    return found


def members_page() -> str:
    """The text of the page."""
    parts, found = [_INTRODUCTION], uses()
    parts += [table(("member", "needed by"), [(f"`{k}`", v) for k, v in sorted(PLANNED.items())])]
    for cls in dict.fromkeys(name.partition(".")[0] for name in found):
        rows = [
            (f"`{name.partition('.')[2]}`", _where(use), _when(use))
            for name, use in found.items()
            if name.partition(".")[0] == cls
        ]
        parts += [f"## {cls}", table(("member", "core uses it in", "when"), rows)]
    return "\n\n".join(parts) + "\n"


_INTRODUCTION = """# Members and their callers

For each member of [the API](index.md): the modules of core (below `tokenbench`) that read, call or
set it, and when. "Set" means that core makes the object and plugins read it. "For authors" are
methods that the API itself implements and that core does not need.

## Planned capabilities

These members have no caller in core yet. Each stays because a planned capability needs it."""


def _where(use: Use) -> str:
    parts = [", ".join(f"`{name}`" for name in use.read)] if use.read else []
    parts += ["set: " + ", ".join(f"`{name}`" for name in use.set)] if use.set else []
    return "; ".join(parts) or ("for authors" if use.helper else "planned")


def _when(use: Use) -> str:
    times = {WHEN.get(name) or WHEN[name.partition(".")[0]] for name in (*use.read, *use.set)}
    return ", ".join(sorted(times))


def _counts(file: Path) -> bool:
    """Guards call everything, and name nothing."""
    return file.relative_to(CORE).parts[0] in WHEN


def _authors() -> Iterable[Path]:
    for folder in ("core/src/tokenbench/api", "plugins", "examples", "testing", "core/tests"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def _members(cls: type[Any]) -> list[str]:
    if issubclass(cls, enum.Enum | BaseException):
        return []
    if attrs.has(cls):
        fields = [field.name for field in attrs.fields(cls)]
    elif issubclass(cls, msgspec.Struct):
        fields = list(cls.__struct_fields__)
    else:
        fields = list(inspect.get_annotations(cls))
    own = [name for name, value in vars(cls).items() if _is_member(value)]
    return [name for name in dict.fromkeys([*fields, *own]) if not name.startswith("_")]


def _is_member(value: Any) -> bool:
    return inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod)


def _implemented(cls: type[Any], member: str) -> bool:
    value = vars(cls).get(member)
    return _is_member(value) and not getattr(value, "__isabstractmethod__", False)


def _module(file: Path) -> _Module:
    nodes = list(ast.walk(ast.parse(file.read_text())))
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    imported = [alias.name for n in nodes if isinstance(n, ast.ImportFrom) for alias in n.names]
    where = file.relative_to(CORE) if file.is_relative_to(CORE) else file.relative_to(ROOT)
    return _Module(
        ".".join(where.with_suffix("").parts),
        frozenset(
            [
                *(n.id for n in nodes if isinstance(n, ast.Name)),
                *(n.name for n in nodes if isinstance(n, ast.ClassDef)),
                *imported,
            ]
        ),
        frozenset((_last(node.value), node.attr) for node in attributes),
        frozenset((_last(c.func), k.arg) for c in calls for k in c.keywords if k.arg),
    )


def _last(node: ast.expr) -> str:
    """The last name of an expression: ``event`` of ``self.event``, of ``event()``."""
    if isinstance(node, ast.Call):
        return _last(node.func)
    return str(getattr(node, "attr", None) or getattr(node, "id", ""))


def _sets(module: _Module, cls: str, member: str) -> bool:
    changed = ("evolve", member) in module.keywords and cls in module.names
    return changed or (cls, member) in module.keywords


def _reads(module: _Module, cls: str, member: str) -> bool:
    receivers = {receiver for receiver, name in module.attributes if name == member}
    if not receivers:
        return False
    named_after = any(r and cls.lower().endswith(r.replace("_", "").lower()) for r in receivers)
    return cls in module.names or named_after
