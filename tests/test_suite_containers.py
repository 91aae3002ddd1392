"""Every value of the suites here, replaced by each kind of container and scalar in turn; what
stands at the same place in several of them, in the first.

A suite that cannot be meant is refused with file, line and path; none is read in part, none is a
bug, and no value is dropped silently.
"""

from __future__ import annotations

import copy
import functools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import yaml
from test_docs import MODEL
from tests_bench import SITE

from tokenbench.api import UsageError, installed_version
from tokenbench.plan import planner as planner_module
from tokenbench.plan.planner import make_plan
from tokenbench.plan.probe import Prober
from tokenbench.plan.resolve import resolve
from tokenbench.plugins.instances import PluginInstances
from tokenbench.plugins.registry import PluginRegistry
from tokenbench.suite.places import Places
from tokenbench.suite.schema import Suite
from tokenbench.suite.structure import read_suite, structure
from tokenbench.suite.yaml_lines import Document

ROOT = Path(__file__).resolve().parent.parent

# Keys that the suites of the documentation leave at null, or leave out.
OTHER = """
requires: [attrs>=1]
use: [failing]
seed: 3
deployments:
  - engine: {openai: {base_url: "http://127.0.0.1:9/v1", model: m, start_timeout_s: 5}}
    model: smollm2
    topology: {tp: 2}
  - engine: scripted:script=x
    pools: [{role: server, replicas: 1, topology: {tp: 1}}]
    flags: {--a: [1, x], --b: 2}
    environment: {A: "b"}
    port: 8000
workloads: ["random:input_tokens=8", {random: {input_range: 0.5, format: text}}]
load:
  rate: [1, 2.5]
  arrival: gamma
  burstiness: 0.5
  server_concurrency: 8
  workers: 1
  repeats: {at_least: 2, at_most: 4, precision: 5%}
  requests: 50
  slo: ttft<1s
certification: {client_cpu_share: {flag: 0.9}, precision_metrics: [tpot_s.p50], min_requests: 5}
evals: [{demo: {limit: 4}}]
reporters: [{files: {formats: [csv]}}]
"""
SEARCH = """
deployments: [{engine: scripted}]
load:
  slo: ttft<1s
  find: {what: max-rate, lowest: 1, highest: 9, tolerance: 0.1}
  trace: TRACE
  arrival: replay
  requests_per_concurrency: 3
"""
RAMP = """
deployments: [{engine: scripted}]
load: {rate: [2], arrival: ramp, ramp_from: 1, duration_s: 5}
"""

WRONG: dict[str, Any] = {
    "mapping": {"a": 1},
    "empty mapping": {},
    "list": ["a b"],
    "empty list": [],
    "nested list": [["a b"]],
    "list of mappings": [{"a": 1}],
    "string": "a b",
    "number": -7.5,
    "null": None,
    "true": True,
}

# Values that are meant, by path with * for each index: patterns.
_ROLE = r"deployments\*\.roles\.\w+"
_FLAG = rf"(deployments\*(\.pools\*)?|{_ROLE})\.flags\.--[\w.-]+"
_VARIABLE = r"deployments\*\.environment\.\w"
_OPTIONS = r"workloads\*\.random|evals\*\.demo|reporters\*\.files|deployments\*\.engine\.llamacpp"
_ENGINES = r"deployments\*(\.pools\*)?\.engine\.(dynamo|vllm|sglang|trtllm|tinypools)"
_USED = r"use\*\.mooncake"
_ADDRESSES = r"deployments\*\.launcher\.ssh\.addresses"
# Fields of a request's body are the server's business.
_OPENAI = r"deployments\*\.engine\.openai"
_BODY = rf"{_OPENAI}\.extra_body\.[\w.*]+"
FINE = {
    "mapping": rf"{_FLAG}|deployments\*\.(pools\*\.)?(flags|environment)|{_BODY}"
    rf"|{_OPENAI}\.extra_body|{_ROLE}\.(flags|environment)",
    "empty mapping": rf"{_FLAG}|{_OPENAI}\.(extra_body|headers|headers_env)|{_BODY}|{_OPTIONS}|load"
    r"|telemetry|deployments\*\.roles|accuracy|accuracy\.minimum|deployments\*\.pools\*\.flags"
    r"|load\.repeats|certification(\.client_cpu_share)?"
    r"|deployments\*\.(flags|environment|topology|pools\*|pools\*\.topology)"
    rf"|{_ADDRESSES}|{_ENGINES}|{_ROLE}(\.(flags|environment))?|{_USED}",
    "list": rf"{_FLAG}|{_BODY}",
    "empty list": rf"{_FLAG}|{_BODY}|requires|use|reporters|evals|workloads|deployments\*\.pools"
    r"|gates|load\.speed|load\.rate|certification\.precision_metrics|telemetry\.watch|deployments\*\.devices",
    "nested list": _BODY,
    "list of mappings": _BODY,
    "string": rf"{_FLAG}\*?|{_VARIABLE}|{_ADDRESSES}\.[\w.:]+|name|{_BODY}"
    rf"|{_OPENAI}\.(model|headers\.[\w-]+)"
    rf"|{_ENGINES}\.((attention|moe|all2all)_backend|quantization)",
    "number": rf"{_FLAG}\*?|{_BODY}",
    "true": rf"{_FLAG}\*?|{_BODY}|load\.prefix_caching|load\.prime_cache|accuracy\.canaries"
    rf"|load\.begin_inside|{_ENGINES}\.attention_dp_balance",
    "null": rf"{_FLAG}|{_BODY}|{_OPTIONS}|seed|telemetry\.watch|deployments\*\.(model|weights|port)"
    r"|evals\*\.demo\.limit|deployments\*\.engine\.llamacpp\.\w+"
    r"|load\.(concurrency|trace|server_concurrency|slo|find"
    r"|repeats|duration_s|requests|sessions|requests_per_concurrency)|load\.find\.highest"
    r"|certification\.client_cpu_share\.invalid"
    rf"|deployments\*\.pools\*\.(hardware|engine)|{_ENGINES}(\.\w+)?"
    rf"|{_USED}(\.\w+)?",
}


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The variables that the documents name for keys, and the folder of a model."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-model").mkdir()
    (tmp_path / "my-model/config.json").write_text(json.dumps(MODEL))
    for name in ("MY_KEY", "AZURE_KEY"):
        monkeypatch.setenv(name, "key-of-a-test")


def _suites() -> Iterator[tuple[str, str]]:
    for file in sorted((ROOT / "suites").glob("*.yaml")):
        yield file.name, file.read_text()
    for page in sorted((ROOT / "docs").rglob("*.md")):
        for number, text in enumerate(
            re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
        ):
            if "deployments:" in text and "engine: tinypools" not in text:  # An example's.
                yield f"{page.name}-{number}", text
    yield from (("other", OTHER), ("search", SEARCH), ("ramp", RAMP))


SUITES = dict(_suites())


def _nodes(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The keys that lead to each value."""
    yield path
    if isinstance(data, dict | list):
        items = data.items() if isinstance(data, dict) else enumerate(data)
        for key, value in items:
            yield from _nodes(value, (*path, key))


def _place(path: tuple[Any, ...]) -> str:
    """The path with * for each index."""
    return re.sub(r"\[\d+\]", "*", _written(path))


def _first_of_each(taken: set[str], data: Any) -> list[tuple[Any, ...]]:
    """The first path to each place that is not yet taken."""
    first: dict[str, tuple[Any, ...]] = {}
    for path in _nodes(data):
        if path and _place(path) not in taken:
            first.setdefault(_place(path), path)
    taken.update(first)
    return list(first.values())


def _replaced(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    made = copy.deepcopy(data)
    holder = made
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return made


def _written(path: tuple[Any, ...]) -> str:
    parts = (f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return "".join(parts).removeprefix(".")


_TAKEN: set[str] = set()
PATHS = {name: _first_of_each(_TAKEN, yaml.safe_load(text)) for name, text in SUITES.items()}


@attrs.frozen
class Planner:
    """`bench plan` of a file's data with one value replaced, in this process."""

    document: Document
    plugins: PluginInstances

    def plan(self, document: Document) -> None:
        """Plan a file."""
        make_plan(
            resolve(structure(document), self.plugins, Places(document)),
            self.plugins,
            by_catalogue=True,
        )

    def fault(self, path: tuple[Any, ...], kind: str) -> str | None:
        """What is wrong with the answer to a value of that kind at `path`."""
        written, whole = _written(path), self.document
        inside = (f"{written}.", f"{written}[")
        lines = {key: line for key, line in whole.lines.items() if not key.startswith(inside)}
        data = _replaced(whole.data, path, WRONG[kind])
        try:
            self.plan(attrs.evolve(whole, data=data, lines=lines))
        except UsageError as error:
            told = self._is_told(error.message, written) and error.hint
            return None if told else f"{written}: {kind}: {error.message}"
        meant = re.fullmatch(FINE.get(kind, "-"), _place(path))
        return None if meant else f"{written}: {kind} is accepted"

    def _is_told(self, message: str, path: str) -> bool:
        """Whether it begins with file and line, and with `path`, or what stands above or inside it.
        Without a key of the load, another one may have become meaningless.
        """
        lines = self.document.lines
        found = re.match(rf"{re.escape(self.document.file)}:(\d+): (?:([^ ]+): )?", message)
        if found is None or not path:
            return found is not None
        line, told = int(found[1]), found[2] or ""
        if told.startswith(path):
            return line == lines[path]
        # Pools are wrong together: a role without its counterpart, or more than fits. Without them,
        # the topology that there is not is too small.
        pools = "].pools" in path and re.search(r"\]\.(pools|engine|topology)", told) is not None
        # So are an engine and a topology into which the model does not fit.
        fits = "].topology" in path and told.endswith("].engine")
        above = path.startswith(told) or told.startswith("load.")
        nearest = message.startswith(f"{self.document.where(told)}: ")
        return nearest and (above or pools or fits)


def _ask_interpreters_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the version of an engine: hundreds of plans would start a process each."""
    once = functools.cache(installed_version)
    for name, module in list(sys.modules.items()):
        ours = name.startswith(("tokenbench_engine_", "tokenbench.api."))
        if ours and hasattr(module, "installed_version"):
            monkeypatch.setattr(module, "installed_version", once)


@pytest.mark.parametrize("name", SUITES)
def test_wrong_values_are_refused_with_file_line_and_path(
    tmp_path: Path, monkeypatch, name: str
) -> None:
    """Each value by each wrong kind: refused there, or among those that are meant."""
    monkeypatch.syspath_prepend(str(SITE))
    (tmp_path / "trace").write_text("0\n1\n2\n")
    file = tmp_path / "suite.yaml"
    text = SUITES[name].replace("TRACE", str(tmp_path / "trace"))
    file.write_text(re.sub(r"/opt/\w+/bin/python", sys.executable, text))
    document = read_suite(file)[1]
    plugins = PluginInstances(PluginRegistry())
    # One for all plans: each would start a process to look at the same hardware.
    prober = Prober(plugins)
    monkeypatch.setattr(planner_module, "Prober", lambda _: prober)
    planner = Planner(document, plugins)
    planner.plan(document)
    _ask_interpreters_once(monkeypatch)
    faults = [planner.fault(path, kind) for path in PATHS[name] for kind in WRONG]
    assert not list(filter(None, faults)), "\n".join(filter(None, faults))


def test_all_sections_of_a_suite_are_there() -> None:
    """Otherwise the test above would look at less than it says."""
    sections = {place.partition(".")[0].rstrip("*") for place in _TAKEN}
    assert sections >= {field.name for field in attrs.fields(Suite)} - {"version"}
    assert len(_TAKEN) > 100


@pytest.mark.parametrize("kind", [*WRONG, "nothing", "text"])
def test_a_file_that_is_no_mapping(tmp_path: Path, kind: str) -> None:
    """The whole file is something else: with the keys of a suite as a hint."""
    file = tmp_path / "suite.yaml"
    text = {"nothing": "", "text": "run llamacpp"}.get(kind)
    file.write_text(yaml.safe_dump(WRONG[kind]) if text is None else text)
    with pytest.raises(UsageError, match=re.escape(f"{file}:1: ")) as caught:
        read_suite(file)
    assert "deployments" in caught.value.message + caught.value.hint
