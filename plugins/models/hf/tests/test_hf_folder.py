"""Folders: what `hf` reads of a good one, and what it says of a bad one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tokenbench.api import (
    OptionalFeatureMissing,
    UsageError,
    kv_bytes_per_token,
    weight_bytes,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_folder_describes_its_model(folder: Path, model) -> None:
    """Shape, precision, size, parameters, template, tokenizer; nothing is made up."""
    spec = model(path=folder)
    (weights,) = spec.weights
    shape = spec.architecture
    assert spec.name == "tiny-qwen3"
    assert (weights.precision, weights.format) == ("bf16", "hf")
    assert weights.source == f"file:{folder}"
    assert weights.size_bytes == (folder / "model.safetensors").stat().st_size
    assert weight_bytes(weights, shape) == weights.size_bytes
    assert weights.license is None
    assert shape.parameters == shape.active_parameters == 300 * 64 + 2 * 256 * 64
    assert (shape.layers, shape.kv_heads, shape.head_dim) == (2, 2, 64)
    assert shape.sliding_layers is shape.experts is shape.mtp_heads is None
    assert kv_bytes_per_token(shape) == 2 * 2 * 2 * 64 * 2
    assert spec.chat_template == "{{ messages }}"
    assert json.loads(spec.facts["generation_config"]) == {"temperature": 0.6}
    assert spec.facts["type"] == "qwen3"
    assert spec.tokenizer is not None
    tokenizer = spec.tokenizer("")
    assert tokenizer.decode(tokenizer.encode("naïve 🙂")) == "naïve 🙂"
    assert tokenizer.special_ids == {256, 257}


def test_a_folder_without_weights_and_tokenizer_is_a_model(folder: Path, model) -> None:
    """For engines that make weights up: their size is unknown, not 0."""
    for name in ("model.safetensors", "tokenizer.json", "generation_config.json"):
        (folder / name).unlink()
    spec = model(path=folder)
    assert spec.weights[0].size_bytes is None
    assert spec.architecture.parameters is None
    assert spec.tokenizer is None
    assert "generation_config" not in spec.facts


def test_the_revision_is_a_hash_of_the_files(folder: Path, tmp_path: Path, model) -> None:
    """Not of the path: a copy has the same. Another template or larger weights have another."""
    one = model(path=folder).weights[0].revision
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert one.startswith("sha256:")
    assert model(path=copy).weights[0].revision == one
    (copy / "chat_template.jinja").write_text("{{ x }}", encoding="utf-8")
    assert model(path=copy).weights[0].revision != one
    assert model(path=copy).chat_template == "{{ x }}"
    (folder / "model.safetensors").write_bytes(b"\0" * 100)
    assert model(path=folder).weights[0].revision != one


def test_an_unchanged_download_has_the_commit(folder: Path, model) -> None:
    """As huggingface_hub itself records it beside the files; a changed file is no longer it."""
    from hashlib import sha1

    from huggingface_hub._local_folder import write_download_metadata

    for file in sorted(folder.glob("*.json")):
        content = file.read_bytes()
        etag = sha1(b"blob %d\0" % len(content) + content).hexdigest()
        write_download_metadata(folder, file.name, COMMIT, etag)
    assert model(path=folder).weights[0].revision == COMMIT
    config = folder / "config.json"
    config.write_text(config.read_text() + "\n", encoding="utf-8")
    assert model(path=folder).weights[0].revision.startswith("sha256:")


def test_an_index_gives_names_and_sizes(folder: Path, write, model) -> None:
    """Of all files if they are here; its total if none is; a part of them is an error."""
    (folder / "model.safetensors").unlink()
    names = {f"model.layers.{i}.mlp.weight": f"model-{i}-of-2.safetensors" for i in range(2)}
    index = {"metadata": {"total_size": 12345}, "weight_map": names}
    write["json"](folder / "model.safetensors.index.json", index)
    assert model(path=folder).weights[0].size_bytes == 12345
    write["safetensors"](folder / "model-0-of-2.safetensors", {"a": [4, 4]})
    with pytest.raises(UsageError, match=r"1 of 2 weight files .* model-1-of-2.safetensors"):
        model(path=folder)
    write["safetensors"](folder / "model-1-of-2.safetensors", {"b": [4, 4]})
    sizes = [file.stat().st_size for file in folder.glob("model-*")]
    assert model(path=folder).weights[0].size_bytes == sum(sizes)
    assert model(path=folder).architecture.parameters == 32


def test_mtp_heads_are_those_that_the_weights_have(folder: Path, write, model) -> None:
    """A config may name heads that were not published; they are not counted as parameters."""
    config = json.loads((folder / "config.json").read_text()) | {"num_nextn_predict_layers": 1}
    write["json"](folder / "config.json", config)
    assert model(path=folder).architecture.mtp_heads is None
    shapes = {"model.layers.0.a.weight": [8, 8], "model.layers.2.a.weight": [8, 8]}
    write["safetensors"](folder / "model.safetensors", shapes)
    assert model(path=folder).architecture.mtp_heads == 1
    assert model(path=folder).architecture.parameters == 64


def test_packed_weights_have_no_parameter_count(folder: Path, write, model) -> None:
    """An element of an int4 tensor holds several of them."""
    write["safetensors"](folder / "model.safetensors", {"a.qweight": [8, 8]}, "I32")
    spec = model(path=folder)
    assert spec.architecture.parameters is None
    assert spec.weights[0].size_bytes is not None


def test_extra_weights_have_names_and_purposes(folder: Path, tmp_path: Path, write, model) -> None:
    """A draft model with its own precision, and a LoRA adapter."""
    small, adapter = tmp_path / "small", tmp_path / "lora"
    for path in (small, adapter):
        path.mkdir()
    write["json"](small / "config.json", {"model_type": "llama", "torch_dtype": "float16"})
    write["json"](adapter / "adapter_config.json", {"base_model_name_or_path": "o/base", "r": 8})
    write["safetensors"](adapter / "adapter_model.safetensors", {"a": [8, 4]}, "F32")
    spec = model(path=folder, draft=small, adapter=adapter)
    assert set(spec.extra_weights) == {"draft", "adapter"}
    draft, lora = spec.extra_weights["draft"], spec.extra_weights["adapter"]
    assert (draft.purpose, draft.precision, draft.source) == ("draft", "fp16", f"file:{small}")
    assert (lora.purpose, lora.precision) == ("adapter", "fp32")
    assert lora.size_bytes == (adapter / "adapter_model.safetensors").stat().st_size
    with pytest.raises(UsageError, match="holds no LoRA adapter"):
        model(path=folder, adapter=small)


def _without_config(path: Path) -> None:
    (path / "config.json").unlink()


def _only_adapter(path: Path) -> None:
    _without_config(path)
    text = json.dumps({"base_model_name_or_path": "meta-llama/Llama-3.1-8B"})
    (path / "adapter_config.json").write_text(text, encoding="utf-8")


def _only_gguf(path: Path) -> None:
    _without_config(path)
    (path / "model.Q4_1.gguf").write_bytes(b"GGUF\3\0\0\0")


def _inner(path: Path) -> None:
    (path / "main").mkdir()
    (path / "config.json").rename(path / "main" / "config.json")


BAD = {
    "no config": (_without_config, "has no config.json"),
    "an adapter": (_only_adapter, "LoRA adapter alone, for the model meta-llama/Llama-3.1-8B"),
    "a GGUF": (_only_gguf, r"model.Q4_1.gguf is a GGUF file"),
    "one level up": (_inner, "its folder main has one"),
    "broken JSON": (
        lambda path: (path / "config.json").write_text('{\n "a": 1,\n}'),
        r"config.json:3: ",
    ),
    "a list": (
        lambda path: (path / "config.json").write_text("[1]"),
        "expected a mapping of keys, got a list",
    ),
    "no model": (lambda path: (path / "config.json").write_text("{}"), "describes no model"),
    "not text": (
        lambda path: (path / "config.json").write_bytes(b"\xff\xfe\x00"),
        "is not text in UTF-8",
    ),
    "a broken tokenizer config": (
        lambda path: (path / "tokenizer_config.json").write_text("{"),
        r"tokenizer_config.json:1: ",
    ),
    "a pointer": (
        lambda path: (path / "model.safetensors").write_text(
            "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"
        ),
        "model.safetensors is a pointer of Git LFS",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_folder_is_named_with_its_cause(folder: Path, model, name: str) -> None:
    """Two lines: what is wrong with which file, and what to do."""
    spoil, said = BAD[name]
    spoil(folder)
    with pytest.raises(UsageError, match=said) as caught:
        model(path=folder)
    assert str(folder) in caught.value.message
    assert caught.value.hint


def test_a_path_that_is_no_folder_is_named(folder: Path, model) -> None:
    """Nothing, a GGUF file, another file; and both a path and an id, or none."""
    gguf = folder / "model.gguf"
    gguf.write_bytes(b"GGUF\3\0\0\0")
    for path, said in (
        (folder / "nothing", "there is no folder"),
        (gguf, "is a GGUF file"),
        (folder / "config.json", "is a file, not a folder"),
    ):
        with pytest.raises(UsageError, match=said):
            model(path=path)
    for given in ({}, {"path": folder, "id": "o/n"}):
        with pytest.raises(UsageError, match="path or id, but not both"):
            model(**given)
    with pytest.raises(UsageError, match="revision has no effect"):
        model(path=folder, revision="main")


def test_a_tokenizer_that_cannot_be_read_is_a_message(folder: Path, model, monkeypatch) -> None:
    """When it is needed: the file is damaged, or the library is missing."""
    spec = model(path=folder)
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match="is not a tokenizer"):
        spec.tokenizer("")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(OptionalFeatureMissing) as caught:
        spec.tokenizer("")
    assert "tokenbench-model-hf[tokenizer]" in caught.value.hint
