"""A small folder in the format of Hugging Face, written part by part."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenbench_model_hf.plugin import HfOptions, bench_register_models

from tokenbench.api import ModelSpec, PluginContext

# The tiny model of vLLM's CPU trials: Qwen3's keys with small numbers (see config.json of
# Qwen/Qwen3-0.6B, ai-dynamo/aiconfigurator at 095f58a, read 2026-11-30).
CONFIG = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "intermediate_size": 128,
    "vocab_size": 300,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "use_sliding_window": False,
    "sliding_window": None,
}
SHAPES = {
    "model.embed_tokens.weight": [300, 64],
    "model.layers.0.self_attn.q_proj.weight": [256, 64],
    "model.layers.1.self_attn.q_proj.weight": [256, 64],
}


def write_json(path: Path, data: Any) -> None:
    """Write a JSON file."""
    path.write_text(json.dumps(data), encoding="utf-8")


def write_safetensors(path: Path, shapes: dict[str, list[int]], dtype: str = "BF16") -> None:
    """A safetensors file of zeros, 2 bytes for each number."""
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 2
        for count in shape:
            size *= count
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(at))


def write_tokenizer(folder: Path) -> None:
    """Byte-level BPE without merges, with two marks."""
    from tokenizers import Tokenizer as Fast
    from tokenizers import decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    fast = Fast(models.BPE(vocab={token: i for i, token in enumerate(alphabet)}, merges=[]))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    fast.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    fast.save(str(folder / "tokenizer.json"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A complete model."""
    path = tmp_path / "tiny-qwen3"
    path.mkdir()
    write_json(path / "config.json", CONFIG)
    write_json(path / "tokenizer_config.json", {"chat_template": "{{ messages }}"})
    write_json(
        path / "generation_config.json",
        {"temperature": 0.6, "transformers_version": "5.0", "_from_model_config": True},
    )
    write_safetensors(path / "model.safetensors", SHAPES)
    write_tokenizer(path)
    return path


@pytest.fixture
def model() -> Callable[..., ModelSpec]:
    """The spec that `hf` makes from options."""
    (spec,) = bench_register_models()
    factory = spec.factory
    assert factory is not None
    return lambda **given: factory(
        HfOptions(**{k: str(v) for k, v in given.items()}), PluginContext()
    )


@pytest.fixture
def write() -> dict[str, Callable[..., None]]:
    """Functions that write files of a model."""
    return {"json": write_json, "safetensors": write_safetensors, "tokenizer": write_tokenizer}
