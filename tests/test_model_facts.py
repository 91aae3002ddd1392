"""Facts of the models that this repository has: against their configs, published figures, and what
InferenceX measures.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from tokenbench_model_hf.config import architecture_of
from tokenbench_model_hf.plugin import HfOptions, bench_register_models
from tokenbench_model_hf.precision import precision_of
from tokenbench_model_smollm2.gguf import read_metadata
from tokenbench_model_smollm2.plugin import bench_register_models as smollm2
from tokenbench_model_smollm2.tokenizer import _build

from tokenbench.api import (
    Architecture,
    ModelSpec,
    PluginContext,
    expert_parameters,
    hub_weights,
    kv_bytes_per_token,
    kv_cache_bytes,
    weight_bytes,
)

if TYPE_CHECKING:
    from tests_bench import Done

ROOT = Path(__file__).resolve().parent
CONFIGS = sorted((ROOT / "model_configs").glob("*.json"))
COUNTED = ("parameters", "active_parameters")
"""What a config does not say."""


def _families() -> dict[str, ModelSpec]:
    found = {}
    for folder in sorted(ROOT.parent.glob("plugins/models/*")):
        module = importlib.import_module(f"tokenbench_model_{folder.name}.plugin")
        found |= {spec.name: spec for spec in module.bench_register_models() if not spec.factory}
    return found


SPECS = _families()


def _config(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "model_configs" / f"{name}.json").read_text())
    return found


def test_every_family_model_has_a_config() -> None:
    """So that the next test covers all of them."""
    assert {file.stem for file in CONFIGS} == set(SPECS) - {"smollm2"}


@pytest.mark.parametrize("file", CONFIGS, ids=lambda f: f.stem)
def test_a_models_shape_is_that_of_its_config(file: Path) -> None:
    """Each field. MiniMax's configs name MTP heads that its weights are not known to have."""
    spec, read = SPECS[file.stem], architecture_of(json.loads(file.read_text()))
    known = {name: getattr(spec.architecture, name) for name in COUNTED}
    if file.stem.startswith("minimax"):
        assert spec.architecture.mtp_heads is None
        known["mtp_heads"] = None
    assert spec.architecture == attrs.evolve(read, **known)


@pytest.mark.parametrize("file", CONFIGS, ids=lambda f: f.stem)
def test_the_published_precision_is_one_of_a_models(file: Path) -> None:
    """That of the config is that of some weights."""
    precision = precision_of(json.loads(file.read_text()), {})
    assert precision in {weights.precision for weights in SPECS[file.stem].weights}


@pytest.mark.parametrize("name", sorted(set(SPECS) - {"smollm2"}))
def test_parameters_fit_the_shape(name: str) -> None:
    """Routed experts are most of a model with experts, and not more than all of it; what a token
    uses is no less than all parameters without the experts it does not take, within 15 %.
    """
    shape = SPECS[name].architecture
    total, active, routed = shape.parameters, shape.active_parameters, expert_parameters(shape)
    assert total is not None and active is not None
    if routed is None:
        assert active == total
        return
    assert 0.9 * total < routed <= total
    assert shape.experts is not None and shape.active_experts is not None
    derived = total - routed * (1 - shape.active_experts / shape.experts)
    # Published counts are rounded, and some leave embeddings or a vision encoder out.
    assert active == pytest.approx(derived, rel=0.15, abs=2.5e9)


LLAMA_405B = Architecture(layers=126, kv_heads=8, head_dim=128)
QWEN_72B = Architecture(layers=80, kv_heads=8, head_dim=128)
PER_TOKEN = {
    # Insights into DeepSeek-V3, ISCA '25, table 1 (arXiv 2505.09343), in bf16.
    "DeepSeek-V3": ("deepseek-r1-0528", 70_272),
    "Qwen-2.5 72B": (QWEN_72B, 327_680),
    "LLaMA-3.1 405B": (LLAMA_405B, 516_096),
    # 80 layers x 8 heads x 128 x 2 x 2 bytes: 320 KiB.
    "Llama 3.3 70B": ("llama-3.3-70b", 320 * 1024),
    # 30 layers x 3 heads x 64 x 2 x 2 bytes.
    "SmolLM2-135M": ("smollm2", 23_040),
}


@pytest.mark.parametrize("name", PER_TOKEN)
def test_cache_bytes_per_token_are_the_published_ones(name: str) -> None:
    """GQA and MLA."""
    model, expected = PER_TOKEN[name]
    shape = SPECS[model].architecture if isinstance(model, str) else model
    assert kv_bytes_per_token(shape) == expected


# vLLM's blog on DeepSeek V4 (2026-04-24): 9.62 GiB per sequence of 1M tokens in bf16, 83.9 GiB for
# a stack of 61 layers like V3.2's. V4-Flash and V3: a table on r/LocalLLaMA ("The exact KV cache
# usage of DeepSeek V4", read 2026-11-30).
AT_1M_GIB = {
    "deepseek-v4-pro": 9.62,
    "deepseek-v3.2": 83.88,
    "deepseek-v4-flash": 6.72,
    "deepseek-r1-0528": 68.63,
}


@pytest.mark.parametrize("name", AT_1M_GIB)
def test_a_long_sequences_cache_is_the_published_one(name: str) -> None:
    """Compressed and sparse attention with their indexers."""
    found = kv_cache_bytes(SPECS[name].architecture, 1 << 20)
    assert found is not None
    assert found / 2**30 == pytest.approx(AT_1M_GIB[name], abs=0.006)


SIZES = {
    # Bytes of weight files: deepseek-ai/DeepSeek-R1 at 56d4cbb; `total_size` of gpt-oss-120b's
    # index; Kimi-K2.5 on disk, rounded (vLLM's recipe). The estimate is without MTP heads.
    ("deepseek-r1-0528", "fp8"): 688_586_727_753,
    ("gpt-oss-120b", "mxfp4"): 65_248_815_744,
    ("kimi-k2.5", "int4"): 595_000_000_000,
    ("llama-3.3-70b", "bf16"): 141_107_412_992,
}


@pytest.mark.parametrize(("name", "precision"), SIZES)
def test_an_estimate_of_weights_is_near_their_size(name: str, precision: str) -> None:
    """Within 10 %, as its documentation says."""
    estimate = weight_bytes(hub_weights(precision, "o/n"), SPECS[name].architecture)
    assert estimate == pytest.approx(SIZES[name, precision], rel=0.10)


def test_every_model_of_inferencex_has_a_name_and_its_weights(
    shared_data: Callable[[str], Path],
) -> None:
    """Its prefixes are names here, and its repositories those of some weights, except for a local
    name and second releases of the same quantisation.
    """
    prefixes, repositories = set(), set()
    with shared_data("inferencex/nvidia-rows.jsonl").open() as rows:
        for row in map(json.loads, rows):
            prefixes.add(row["model-prefix"])
            repositories.add(row["model"])
    aliases = {alias for spec in SPECS.values() for alias in spec.aliases}
    assert prefixes <= aliases
    ours = {w.source.removeprefix("hub:") for spec in SPECS.values() for w in spec.weights}
    assert repositories - ours == {
        "deepseek-r1-fp4",
        "nvidia/DeepSeek-R1-0528-FP4-V2",
        "nvidia/Qwen3.5-397B-A17B-NVFP4-V2",
    }


@pytest.fixture(scope="module")
def smollm2_folder(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Config and tokenizer of SmolLM2 in the format of Hugging Face, from the real GGUF file."""
    facts = read_metadata(weights)
    folder: Path = tmp_path_factory.mktemp("hf") / "SmolLM2-135M-Instruct"
    folder.mkdir()
    config = {
        "model_type": facts["general.architecture"],
        "num_hidden_layers": facts["llama.block_count"],
        "hidden_size": facts["llama.embedding_length"],
        "intermediate_size": facts["llama.feed_forward_length"],
        "num_attention_heads": facts["llama.attention.head_count"],
        "num_key_value_heads": facts["llama.attention.head_count_kv"],
        "vocab_size": len(facts["tokenizer.ggml.tokens"]),
        "max_position_embeddings": facts["llama.context_length"],
        "torch_dtype": "bfloat16",
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(facts["tokenizer.chat_template"], encoding="utf-8")
    fast = _build(facts["tokenizer.ggml.tokens"], facts["tokenizer.ggml.merges"])
    fast.save(str(folder / "tokenizer.json"))
    return folder


def test_hf_reads_smollm2_like_its_own_plugin(smollm2_folder: Path, weights: Path) -> None:
    """The same shape, the same token ids (those of llama.cpp), its chat template."""
    (own,), (hf,) = smollm2(), bench_register_models()
    assert hf.factory is not None and own.tokenizer is not None
    spec = hf.factory(HfOptions(path=str(smollm2_folder)), PluginContext())
    counted = {name: getattr(own.architecture, name) for name in COUNTED}
    assert attrs.evolve(spec.architecture, **counted) == own.architecture
    assert spec.tokenizer is not None
    ids = spec.tokenizer("").encode("Hello world 1234")
    assert ids == own.tokenizer(str(weights)).encode("Hello world 1234")
    assert ids == (19556, 905, 216, 33, 34, 35, 36)
    assert "im_start" in (spec.chat_template or "")


def test_a_plan_takes_a_models_options(cli: Callable[..., Done], smollm2_folder: Path) -> None:
    """An engine that loads none of its weights says what there are; a wrong option is named."""
    folder = smollm2_folder
    common = ("plan", "--engine", "llamacpp", "--workload", "random", "--model")
    done = cli(*common, f"hf:path={folder}")
    assert done.code == 2
    assert done.err.startswith("error: --model: 'SmolLM2-135M-Instruct' has no weights")
    assert "it has: bf16 (hf)" in done.err
    done = cli(*common, f"hf:folder={folder}")
    assert "unknown option 'folder'" in done.err
    done = cli(*common, "smollm2:size=2")
    assert "unknown option 'size'" in done.err
    done = cli(*common, f"hf:path={folder / 'config.json'}")
    assert "error: --model: " in done.err
    assert "is a file, not a folder" in done.err
    done = cli(*common, "smollm2", "--concurrency", "1")
    assert done.code == 0
    assert "llamacpp / smollm2" in done.out


def test_a_second_name_is_the_same_model(cli: Callable[..., Done]) -> None:
    """`dsr1` is DeepSeek-R1-0528: plans and pages have the model's own name."""
    done = cli("plugins", "show", "dsr1")
    assert "Other names: `deepseek-r1-0528`." in done.out
    assert "| - | fp8 | `hub:deepseek-ai/DeepSeek-R1-0528` | about 671 GB |" in done.out
    assert "* cache, bytes per token in bf16: 70,272" in done.out
    done = cli("plan", "--engine", "llamacpp", "--model", "dsr1", "--workload", "random")
    assert "'deepseek-r1-0528' has no weights that 'llamacpp' can load" in done.err
