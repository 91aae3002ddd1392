"""What the plan of the engine `transformers` says, and what it refuses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tokenbench_engine_transformers.plugin import TransformersOptions, bench_register_engines
from transformers_cases import BATCHING, REUSE, engine, process, request

from tokenbench.api import Architecture, Endpoint, ServingNeeds, UsageError
from tokenbench_testing.samples.deployments import sample_sku

_CHIP = sample_sku("chip", "bf16", gib=1)
_SHAPE = Architecture(parameters=4 << 30, layers=4, context_tokens=8192)
_LONG = ServingNeeds(context_tokens=9000, concurrency=1)


def test_a_server_is_pinned_to_its_model_under_the_name_of_its_path() -> None:
    """It refuses requests that name the model otherwise, so requests have the path or hub name."""
    plan = engine().plan(request(source="file:/models/m"))
    assert plan.served_name == "/models/m"
    assert plan.processes[0].argv[-2:] == ("serve", "{weights}")
    plan = engine().plan(request(source="hub:org/name"))
    assert plan.served_name == "org/name@abc"
    assert plan.processes[0].argv[-1] == "{weights}@abc"
    # Without a metrics page.
    assert [one.metrics_path for one in plan.endpoints] == [None]


def test_the_version_is_that_of_this_machine_or_unknown() -> None:
    """The server reports none, so that of another host cannot be known."""

    def server(here: bool) -> Any:
        return SimpleNamespace(endpoints=(Endpoint(role="server", index=0, url="", here=here),))

    made = engine()
    made.distribution = "pytest"  # type: ignore[attr-defined]
    assert made.version(server(here=True)) == f"transformers {pytest.__version__}"
    assert made.version(server(here=False)) is None


def test_it_asks_no_hub_for_what_is_here() -> None:
    """And never for a newer version of itself."""
    here, hub = process(), process(request(source="hub:org/name"))
    assert here.environment["HF_HUB_OFFLINE"] == "1"
    assert "HF_HUB_OFFLINE" not in hub.environment
    for one in (here, hub):
        assert one.environment["HF_HUB_DISABLE_UPDATE_CHECK"] == "1"


@pytest.mark.parametrize(
    ("kind", "pp", "device", "accelerators"),
    [("cpu", 1, "cpu", 0), ("nvidia", 1, "auto", 1), ("amd", 4, "auto", 4)],
)
def test_device(kind: str, pp: int, device: str, accelerators: int) -> None:
    """Layers are spread over what the process sees."""
    found = process(request(kind=kind, pp=pp))
    assert (found.flags["--device"], found.accelerators) == (device, accelerators)
    one = "cpu" if kind == "cpu" else "cuda:0"
    assert process(request(kind=kind), device=one).flags["--device"] == one


def test_the_kv_cache_on_a_cpu_has_room_for_a_full_batch() -> None:
    """It would otherwise take most of the host's memory. On a GPU, transformers decides."""
    assert process(request(needs=REUSE), **BATCHING).flags["--cb-num-blocks"] == 4 * (8 + 1)
    small = process(request(needs=REUSE), **BATCHING, block_size=64)
    assert small.flags["--cb-num-blocks"] == 4 * (32 + 1)
    on_gpu = process(request(kind="nvidia", needs=REUSE), **BATCHING)
    assert "--cb-num-blocks" not in on_gpu.flags


def test_exact_lengths_without_a_field_for_them() -> None:
    """The server refuses ignore_eos and min_tokens, and takes an end token that does not exist."""
    dialect = engine().dialect(request())
    assert not (dialect.ignore_eos or dialect.min_tokens or dialect.token_id_prompts)
    assert not dialect.done_event
    assert dict(dialect.exact_body) == {"generation_config": '{"eos_token_id": -1}'}


@pytest.mark.parametrize(
    ("asked", "options", "says"),
    [
        (request(replicas=2), {}, "need a router"),
        (request(needs=_LONG), {}, "a context of 9000 tokens is required, m supports 8192"),
        (request(pp=2), {}, "a CPU is one device"),
        (request(), {"device": "cuda:0"}, "device=cuda:0: the deployment is planned for cpu"),
        (request(kind="amd"), {"device": "cpu"}, "device=cpu: the deployment is planned for amd"),
        (request(kind="amd", pp=2), {"device": "cuda:0"}, "pp=2 spreads layers over all"),
        (request(kind="amd"), {"cpu_threads": 2}, "does not run on CPUs"),
        (request(kind="amd", pp=9, chip=_CHIP), {}, "9 accelerators are needed"),
        (request(kind="amd", pp=4, chip=_CHIP, shape=_SHAPE), {}, "m does not fit"),
        (request(kind="amd", pp=8, shape=_SHAPE), {}, "has 4 layers, fewer than stages"),
        (request(source="file:/models/a@b"), {}, "as a revision"),
        (request(), BATCHING, "cannot switch that off"),
    ],
)
def test_refused(asked: object, options: dict[str, object], says: str) -> None:
    """What the server cannot do, with a hint."""
    with pytest.raises(UsageError, match=says) as caught:
        engine(**options).plan(asked)  # type: ignore[arg-type]
    assert caught.value.hint


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"block_size": 16}, "block_size needs continuous_batching=true"),
        ({"cuda_graphs": False}, "cuda_graphs needs continuous_batching=true"),
        ({"chat_template_kwargs": "[1]"}, "expected a JSON object"),
        ({"chat_template_kwargs": '{"a": NaN}'}, "expected a JSON object"),
        ({"chat_template_kwargs": "{"}, "expected a JSON object"),
    ],
)
def test_options_that_contradict(options: dict[str, object], says: str) -> None:
    """They are refused where they are given."""
    with pytest.raises(ValueError, match=says):
        TransformersOptions(**options)  # type: ignore[arg-type]


def test_what_it_lacks_has_a_version_and_a_date() -> None:
    """Core shows the reasons where it refuses something."""
    (spec,) = bench_register_engines()
    assert len(spec.capabilities.lacks) >= 8
    for reason in spec.capabilities.lacks.values():
        assert "5.23.0" in reason and "2026-12-01" in reason


@pytest.mark.parametrize("device", ["banana", "cuda:", "cuda:x", "cuda:0:1", ""])
def test_devices_that_torch_does_not_know(device: str) -> None:
    """Refused before a model is loaded."""
    with pytest.raises(ValueError, match="device: expected auto, or cpu, "):
        TransformersOptions(device=device)
