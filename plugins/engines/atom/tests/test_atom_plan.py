"""What is planned for ATOM, each flag against its own parser (flags.json); and what is refused."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from atom_cases import DEEPSEEK_R1, GIB, LLAMA_70B, MI355X, engine, process, request
from tokenbench_engine_atom.options import SPECULATION
from tokenbench_engine_atom.plugin import AtomOptions, bench_register_engines

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    FlagGrammar,
    FlagValue,
    LogMessages,
    Pool,
    ProcessSpec,
    ServingNeeds,
    Topology,
    UsageError,
    Weights,
    package_json,
)
from tokenbench_testing import EngineKit

_MESSAGES = LogMessages("tokenbench_engine_atom")

_MTP = {"speculation": "mtp", "speculative_tokens": 3}
_HEAD = Weights(
    precision="bf16", format="hf", source="file:/models/d", revision="d1", purpose="eagle"
)
# One or more values of every option, with the options that it needs.
_SAMPLES: dict[str, tuple[dict[str, Any], ...]] = {
    "python": ({"python": "/opt/atom/bin/python"},),
    "start_timeout_s": ({"start_timeout_s": 60.0},),
    "context_tokens": ({"context_tokens": 10_000},),
    "max_num_seqs": ({"max_num_seqs": 8},),
    "max_num_batched_tokens": ({"max_num_batched_tokens": 4096},),
    "gpu_memory_utilization": ({"gpu_memory_utilization": 0.85},),
    "block_size": ({"block_size": 16},),
    "kv_cache_dtype": ({"kv_cache_dtype": "bf16"}, {"kv_cache_dtype": "fp8"}),
    "chunked_prefill": ({"chunked_prefill": True}, {"chunked_prefill": False}),
    "trust_remote_code": ({"trust_remote_code": True},),
    "dummy_weights": ({"dummy_weights": True},),
    "speculation": tuple(
        {"speculation": method, "speculative_tokens": 2}
        for method in SPECULATION
        if method != "none"
    ),
    "speculative_tokens": (_MTP,),
    "speculative_model": (
        {"speculation": "eagle3", "speculative_tokens": 3, "speculative_model": "org/head"},
    ),
    "all2all_backend": ({"all2all_backend": "low-latency"},),
    "two_batch_overlap": ({"two_batch_overlap": "prefill"}, {"two_batch_overlap": "all"}),
    "enforce_eager": ({"enforce_eager": True},),
    "compile_level": ({"compile_level": 0},),
    "cudagraph_capture_sizes": ({"cudagraph_capture_sizes": (1, 2, 4)},),
}


class TestAtom(EngineKit):
    """The conformance kit, but for checks with a real server."""

    name = "atom"


def _all_processes() -> Iterator[ProcessSpec]:
    for degrees in (
        {"tp": 8},
        {"tp": 8, "ep": 8},
        {"tp": 8, "ep": 8, "attention_dp": 8},
        {"tp": 4, "dp": 2},
    ):
        for samples in _SAMPLES.values():
            for options in samples:
                yield process(request(extra={"head": _HEAD}, **degrees), **options)
    yield process(request(needs=ServingNeeds(prefix_caching=True)))


def test_every_option_has_a_sample() -> None:
    """A new option is checked against ATOM's parser, or this test fails."""
    assert set(_SAMPLES) == {field.name for field in attrs.fields(AtomOptions)}


def test_atom_takes_every_flag() -> None:
    """Name, type and choices of each flag are those of ATOM's parser."""
    known = {
        name: flag
        for flag in package_json("tokenbench_engine_atom")["flags"]
        for name in flag["names"]
    }
    seen: set[str] = set()
    for one in _all_processes():
        assert one.argv[3] == "--model" and one.argv[3] in known
        for name, value in one.flags.items():
            assert name == known[name]["names"][0], f"{name} is not the canonical name"
            _check(known[name], value)
            seen.add(name)
    # All of ATOM's flags but those that no option is for.
    unused = {
        *("--model", "--torch-profiler-dir", "--attn-prefill-chunk-size", "--kv-transfer-config"),
        *("--scheduler-delay-factor", "--mark-trace", "--online_quant_config", "--hf-overrides"),
        *("--default-chat-template-kwargs", "--request-log"),
    }
    assert {
        flag["names"][0] for flag in package_json("tokenbench_engine_atom")["flags"]
    } - seen == unused


def _check(flag: dict[str, Any], value: FlagValue) -> None:
    place = (flag["names"][0], value)
    if isinstance(value, bool):
        assert flag["kind"] in ("boolean", "switch"), place
        assert value or flag["kind"] == "boolean", f"{place} has no negative form"
        return
    assert flag["kind"] == "value", place
    text = str(value)
    if flag["type"] in ("int", "float") and "{" not in text:
        (int if flag["type"] == "int" else float)(text)
    assert text in flag.get("choices", [text]), place


def test_the_capture_is_what_the_tool_reads(tmp_path: Path) -> None:
    """argparse names the negative forms; defaults that are names elsewhere do not matter."""
    tool = Path(__file__).parents[4] / "tools" / "capture_atom_flags.py"
    spec = importlib.util.spec_from_file_location("capture_atom_flags", tool)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    source = (
        'parser.add_argument("--enable_prefix_caching", action=argparse.BooleanOptionalAction)\n'
        'parser.add_argument("--tensor-parallel-size", "-tp", type=int, default=ELSEWHERE)\n'
        'parser.add_argument("--hf-overrides", type=json.loads)\n'
    )
    found = [module.entry(call) for call in module._calls(source)]
    known = {flag["names"][0]: flag for flag in package_json("tokenbench_engine_atom")["flags"]}
    assert found == [known[flag["names"][0]] for flag in found] and len(found) == 3
    assert (
        package_json("tokenbench_engine_atom")["version"].startswith("0.1.5")
        and package_json("tokenbench_engine_atom")["date"]
    )


def test_two_ports() -> None:
    """`--port` is the one on which ranks meet; the server has another flag."""
    one = process(request())
    assert one.flags["--server-port"] == "{port:http}" and one.flags["--port"] == "{port:engine}"
    assert [block.name for block in one.ports] == ["http", "engine"]
    assert one.ready == "http://{host}:{port:http}/health"


def test_other_spellings_meet() -> None:
    """Short names and negative forms."""
    assert FlagGrammar.of_package("tokenbench_engine_atom").canonical("-tp", 8) == (
        "--tensor-parallel-size",
        8,
    )
    off = ("--enable_prefix_caching", False)
    assert (
        FlagGrammar.of_package("tokenbench_engine_atom").canonical(
            "--no-enable_prefix_caching", True
        )
        == off
    )
    assert FlagGrammar.of_package("tokenbench_engine_atom").render(*off) == (
        "--no-enable_prefix_caching",
    )


@pytest.mark.parametrize(
    ("degrees", "flags"),
    [
        ({"tp": 8}, {}),
        ({"tp": 8, "ep": 8}, {"--enable-expert-parallel": True}),
        (
            {"tp": 8, "ep": 8, "attention_dp": 8},
            {"--enable-expert-parallel": True, "--enable-dp-attention": True},
        ),
        ({"tp": 4, "dp": 2}, {"--tensor-parallel-size": 4, "--data-parallel-size": 2}),
    ],
)
def test_topologies(degrees: dict[str, int], flags: dict[str, Any]) -> None:
    """Degrees as ATOM counts them; accelerators as we do."""
    one = process(request(**degrees))
    shown = {
        name: value
        for name, value in one.flags.items()
        if "parallel" in name or "attention" in name
    }
    assert shown == {"--tensor-parallel-size": 8, **flags}
    assert one.accelerators == 8


def test_requests_name_the_model_as_the_server_does() -> None:
    """It refuses any other name, and has no flag for one."""
    assert engine().plan(request(source="hub:org/name")).served_name == "org/name"
    assert engine().plan(request(source="file:/models/m")).served_name == "/models/m"


def test_dialect() -> None:
    """Prompts are text; what it does not know is not sent."""
    found = engine().dialect(request())
    assert found.codecs == (COMPLETIONS, CHAT) and found.ignore_eos and found.done_event
    assert not (found.token_id_prompts or found.min_tokens or found.seed)
    assert not found.continuous_usage


def test_mtp_drafts_with_the_models_own_weights() -> None:
    """EAGLE-3 with those that the model names."""
    asked = request(extra={"head": _HEAD})
    mtp = process(asked, **_MTP)
    assert mtp.flags["--method"] == "mtp" and mtp.flags["--num-speculative-tokens"] == 3
    assert "--draft-model" not in mtp.flags
    eagle = process(asked, speculation="eagle3", speculative_tokens=3)
    assert eagle.flags["--draft-model"] == "{weights:head}"


def _refused(asked: Any, **options: Any) -> UsageError:
    with pytest.raises(UsageError) as caught:
        engine(**options).plan(asked)
    return caught.value


_MI300X = attrs.evolve(MI355X, name="mi300x", memory_bytes=192 * GIB, precisions=("fp8", "bf16"))


@pytest.mark.parametrize(
    ("asked", "options", "says"),
    [
        (request(chip=_MI300X, tp=2), {}, "2 x mi300x x 192.0 GiB x 0.9 = 345.6 GiB"),
        # Without attention DP each data-parallel rank has all weights.
        (request(chip=_MI300X, tp=2, dp=4), {}, "2 x mi300x x 192.0 GiB"),
        (request(chip=_MI300X, precision="fp4"), {}, "does not compute in fp4"),
        (request(tp=8, dp=2), {}, "all ranks of a server on one host"),
        (request(chip=None, tp=16), {}, "at most 8 ranks"),
        (request(tp=8, ep=4), {}, "over the 8 accelerators that share them"),
        (request(tp=2, dp=4, ep=8), {}, "over the 2 accelerators that share them"),
        (request(tp=8, attention_dp=4), {}, "attention DP only over all"),
        (request(LLAMA_70B, tp=8, ep=8), {}, "has no experts"),
        (request(LLAMA_70B, tp=8, attention_dp=8), {}, "has no experts"),
        (request(LLAMA_70B, tp=6), {}, "64 / 6 = 10.67"),
        (request(LLAMA_70B), _MTP, "name no MTP heads"),
        (
            request(),
            {"speculation": "eagle3", "speculative_tokens": 1},
            "needs weights for drafting",
        ),
        (request(pools=(Pool(replicas=2, topology=Topology(tp=4)),)), {}, "it has no router"),
        (request(needs=ServingNeeds(context_tokens=200_000)), {}, "supports 163840"),
    ],
)
def test_impossible_plans(asked: Any, options: dict[str, Any], says: str) -> None:
    """Refused before anything starts, with the numbers and with what to do."""
    error = _refused(asked, **options)
    assert says in str(error), error
    assert error.hint


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"speculative_tokens": 3}, "needs speculation, which is none"),
        ({"speculation": "mtp"}, "needs speculative_tokens=N"),
        ({"enforce_eager": True, "cudagraph_capture_sizes": (1,)}, "needs enforce_eager=false"),
        ({**_MTP, "speculative_model": "/m"}, "speculative_model needs speculation=eagle3"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], says: str) -> None:
    """Refused with the option's name."""
    with pytest.raises(ValueError, match=says):
        engine(**options)


def test_what_it_lacks_has_a_reason() -> None:
    """With version and source, for each thing that core or a user may ask for."""
    (spec,) = bench_register_engines()
    lacks = spec.capabilities.lacks
    assert {"pp", "wide_ep", "prefill", "decode", "kv_offload", "tool_calls", "nvfp4"} <= set(lacks)
    for name, reason in lacks.items():
        assert "0.1.5" in reason, name
    assert engine().plan(request(DEEPSEEK_R1)).endpoints[0].metrics_path is None


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        ("/opt/python: No module named 'atom'", "not installed"),
        ("openai_server.py: error: unrecognized arguments: --pp 2", "--pp 2"),
        (
            "error: argument --kv_cache_dtype: invalid choice: 'fp4' (choose from 'bf16')",
            "value of --kv_cache_dtype",
        ),
        ("ValueError: num_speculative_tokens must be between 1 and 4, got 5.", "not 5"),
        (
            "Calculated local_device_rank=8 exceeds available GPUs (8). ",
            "rank 8 has no GPU: ATOM sees 8",
        ),
        (
            (
                "[Errno 98] error while attempting to bind on address ('127.0.0.1', 8000): address "
                "already in use"
            ),
            "port 8000 of 127.0.0.1",
        ),
        (
            (
                "AssertionError: Not enough memory for KV cache with block size(16). At least 1 "
                "block (2.00MB) is required, but available_for_kv=-512.00MB (budget=1.00GB"
            ),
            "a block needs 2.00MB, but -512.00MB is available",
        ),
        (
            (
                "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 2.00 GiB. GPU 3 has "
                "a total capacity of 288.00 GiB of which"
            ),
            "GPU 3 (288.00 GiB) is out of memory: could not allocate 2.00 GiB",
        ),
    ],
)
def test_failures(log: str, cause: str) -> None:
    """The message's own words lead to the cause."""
    found = _MESSAGES.diagnose(f"loading\n{log}\nsome more lines\n")
    assert found is not None and cause in found.cause, found
    assert found.hint


def test_phases() -> None:
    """The newest message counts."""
    log = "Loading safetensors shards[/models/m]:  45%|####    | 73/163\n"
    assert _MESSAGES.phase(log) == "loading weights 45 %"
    assert _MESSAGES.phase(log + "[atom] Model warmup done: /models/m\n") == "warmed up"
    assert _MESSAGES.phase("INFO: Started server process") is None
