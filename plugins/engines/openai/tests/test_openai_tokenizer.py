"""The tokenizer of a running server, from a folder that the user names."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tokenbench_engine_openai.options import OpenAIOptions
from tokenbench_engine_openai.plugin import bench_register_engines
from tokenbench_engine_openai.tokenizer import folder_tokenizer

from tokenbench.api import Engine, OptionalFeatureMissing, PluginContext, UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A byte-level BPE as model repositories have it: with marks, a template and truncation."""
    from tokenizers import Tokenizer as Fast
    from tokenizers import decoders, models, pre_tokenizers, processors, trainers

    fast = Fast(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    fast.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    fast.train_from_iterator(["the cat and the dog had one hat " * 20], trainer)
    fast.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    fast.enable_truncation(8)
    fast.enable_padding(length=8)
    path = tmp_path_factory.mktemp("model")
    fast.save(str(path / "tokenizer.json"))
    return path


def _engine(tokenizer: object) -> Engine:
    (spec,) = bench_register_engines()
    options = OpenAIOptions(base_url="http://127.0.0.1:1", model="m", tokenizer=str(tokenizer))
    made: Engine = spec.factory(options, PluginContext())
    return made


def test_the_named_tokenizer_encodes_plain_text(folder) -> None:
    """No start token, nothing cut off, nothing padded; text comes back."""
    tokenizer = _engine(folder).tokenizer()
    assert tokenizer is not None
    text = "the cat had one hat and the dog had one hat, wörd"
    ids = tokenizer.encode(text)
    assert len(ids) > 8
    assert tokenizer.decode(ids) == text
    assert tokenizer.special_ids == {0, 1}
    assert not set(ids) & tokenizer.special_ids
    assert max(ids) < tokenizer.vocab_size
    assert len(tokenizer.encode("a")) == 1


@pytest.mark.covers("Engine.tokenizer")
def test_the_hash_of_the_tokenizer_is_part_of_the_identity(folder, tmp_path) -> None:
    """Not its path; without a tokenizer nothing changes."""
    copy, other = tmp_path / "copy", tmp_path / "other"
    for path, more in ((copy, ""), (other, "\n")):
        path.mkdir()
        text = (folder / "tokenizer.json").read_text(encoding="utf-8")
        (path / "tokenizer.json").write_text(text + more, encoding="utf-8")
    one = _engine(folder).planned_version()
    assert one == _engine(copy).planned_version() != _engine(other).planned_version()
    (spec,) = bench_register_engines()
    options = OpenAIOptions(base_url="http://127.0.0.1:1", model="m")
    plain = spec.factory(options, PluginContext())
    assert plain.planned_version() is None
    assert plain.tokenizer() is None


def test_a_missing_or_damaged_tokenizer_is_a_message(tmp_path) -> None:
    """When the run is planned, or when it is read."""
    with pytest.raises(UsageError, match=r"cannot read .*tokenizer\.json") as caught:
        _engine(tmp_path).planned_version()
    assert "tokenizer.json" in (caught.value.hint or "")
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(UsageError, match="is not a tokenizer"):
        _engine(tmp_path).tokenizer()


def test_a_missing_library_is_a_message(folder, monkeypatch) -> None:
    """With the extra that installs it."""
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(OptionalFeatureMissing) as caught:
        folder_tokenizer(str(folder))
    assert "tokenbench-engine-openai[tokenizer]" in (caught.value.hint or "")
