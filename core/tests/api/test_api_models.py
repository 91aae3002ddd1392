"""Models in the API: the memory that follows from a shape, extra weights, the tokenizer helper."""

from __future__ import annotations

import sys
from pathlib import Path

import attrs
import pytest

from tokenbench.api import (
    Architecture,
    CacheLayers,
    EngineError,
    EngineRequest,
    FileSpec,
    FrozenMap,
    HardwareFacts,
    LaunchPlan,
    Layout,
    LibraryTokenizer,
    ModelSpec,
    OptionalFeatureMissing,
    Pool,
    ProcessSpec,
    ServingNeeds,
    UsageError,
    Weights,
    expert_parameters,
    hub_weights,
    kv_bytes_per_token,
    kv_cache_bytes,
    read_tokenizer,
    weight_bytes,
)
from tokenbench.launch.symbols import bind_process
from tokenbench.plan.launch_inputs import named_weights
from tokenbench.plan.model import canonical_model, parsers_of
from tokenbench.run.provenance import model_facts
from tokenbench.run.weights import locate
from tokenbench.suite.structure import structure
from tokenbench.suite.yaml_lines import read

GQA = Architecture(layers=80, heads=64, kv_heads=8, head_dim=128)
MLA = Architecture(layers=61, heads=128, kv_heads=128, head_dim=192, latent_dim=512, rope_dim=64)
DRAFT = hub_weights("bf16", "o/small", revision="r2", purpose="draft")
REQUEST = EngineRequest(
    model="big",
    served_name="big",
    weights=hub_weights("fp8", "o/big", revision="r1"),
    architecture=GQA,
    hardware=HardwareFacts(kind="cpu", sku="x"),
    layout=Layout(pools=(Pool(),)),
    needs=ServingNeeds(),
    extra_weights=FrozenMap({"small": DRAFT}),
)


def _launch(**flags: str) -> LaunchPlan:
    named = FrozenMap({f"--{name}": text for name, text in flags.items()})
    process = ProcessSpec(argv=("serve", "{weights}"), flags=named)
    return LaunchPlan(processes=(process,))


def test_the_cache_grows_with_key_value_heads_or_the_latent_vector() -> None:
    """Per token: 2 x 8 x 128 numbers in each of 80 layers; 512 + 64 in each of 61. In fp8, half."""
    assert kv_bytes_per_token(GQA) == 2 * 8 * 128 * 80 * 2
    assert kv_bytes_per_token(MLA) == 70_272
    assert kv_bytes_per_token(MLA, bytes_per_value=1) == 35_136
    assert kv_cache_bytes(GQA, 1000) == 1000 * 327_680
    values = attrs.evolve(GQA, value_head_dim=64)
    assert kv_bytes_per_token(values) == 8 * (128 + 64) * 80 * 2


def test_windows_strides_and_linear_layers_limit_the_cache() -> None:
    """A window stops it, a stride keeps one entry for several tokens, linear layers have none."""
    sliding = attrs.evolve(GQA, sliding_layers=40, sliding_window=128)
    per_layer = 2 * 8 * 128 * 2
    assert kv_bytes_per_token(sliding) == 40 * per_layer
    assert kv_cache_bytes(sliding, 100) == 80 * 100 * per_layer
    assert kv_cache_bytes(sliding, 1000) == (40 * 1000 + 40 * 128) * per_layer
    linear = attrs.evolve(GQA, linear_layers=60)
    assert kv_bytes_per_token(linear) == 20 * per_layer
    groups = (CacheLayers(layers=2, values=10, stride=4), CacheLayers(layers=1, values=7, window=8))
    compressed = Architecture(layers=2, cache=groups)
    assert kv_bytes_per_token(compressed) == 2 * 10 / 4 * 2
    assert kv_cache_bytes(compressed, 103) == (2 * 10 * 25 + 7 * 8) * 2


def test_an_indexer_caches_a_key_besides() -> None:
    """In all layers that cache, or in as many as are named."""
    indexed = attrs.evolve(MLA, index_dim=128)
    assert kv_bytes_per_token(indexed) == 61 * (576 + 128) * 2
    some = attrs.evolve(indexed, index_layers=20)
    assert kv_bytes_per_token(some) == (61 * 576 + 20 * 128) * 2


@pytest.mark.parametrize("missing", ["layers", "kv_heads", "head_dim"])
def test_an_unknown_shape_has_an_unknown_cache(missing: str) -> None:
    """None, not 0."""
    shape = attrs.evolve(GQA, **{missing: None})
    assert kv_bytes_per_token(shape) is None
    assert kv_cache_bytes(shape, 10) is None
    assert kv_bytes_per_token(attrs.evolve(GQA, sliding_layers=4)) is None


def test_weights_take_their_files_size_or_an_estimate() -> None:
    """4-bit weights of a model with experts: the experts in 4 bits, the rest in bf16."""
    moe = Architecture(
        parameters=1100,
        layers=3,
        dense_layers=1,
        hidden=5,
        experts=10,
        active_experts=2,
        expert_intermediate=3,
    )
    assert expert_parameters(moe) == 3 * 5 * 3 * 10 * 2
    assert expert_parameters(GQA) is None
    assert weight_bytes(hub_weights("mxfp4", "o/n", size_bytes=7), moe) == 7
    assert weight_bytes(hub_weights("bf16", "o/n"), moe) == 2200
    assert weight_bytes(hub_weights("mxfp4", "o/n"), moe) == round(900 * 0.53125 + 200 * 2)
    assert weight_bytes(hub_weights("odd", "o/n"), moe) is None
    assert weight_bytes(hub_weights("fp8", "o/n"), GQA) is None


def test_weights_have_a_known_purpose() -> None:
    """One of five."""
    with pytest.raises(ValueError, match="purpose"):
        hub_weights("bf16", "o/n", purpose="helper")


def test_a_request_reaches_extra_weights_by_name() -> None:
    """An error names those that there are."""
    assert REQUEST.weights_named("small", "draft", "eagle") is DRAFT
    assert REQUEST.weights_named("small") is DRAFT
    with pytest.raises(UsageError, match="no weights named 'tiny'") as caught:
        REQUEST.weights_named("tiny")
    assert "small (draft)" in caught.value.hint
    with pytest.raises(UsageError, match="are for 'draft', not for 'adapter'"):
        REQUEST.weights_named("small", "adapter")


def test_a_plan_names_the_extra_weights_it_needs() -> None:
    """Their symbol is bound at launch; their revision is part of the identity."""
    plain, drafting = _launch(model="{weights}"), _launch(draft='{"model": "{weights:small}"}')
    assert named_weights(plain) == ()
    assert named_weights(drafting) == ("small",)
    file = FileSpec(name="c.yaml", content=FrozenMap({"a": FrozenMap({"b": "{weights:small}"})}))
    in_file = ProcessSpec(argv=("serve",), files=(file, FileSpec(name="t", content="{weights:t}")))
    assert named_weights(LaunchPlan(processes=(in_file,))) == ("small",)
    assert canonical_model(REQUEST, plain) == ["big", "fp8", "r1"]
    assert canonical_model(REQUEST, drafting) == ["big", "fp8", "r1", ["small", "bf16", "r2"]]
    bound = bind_process(
        drafting.processes[0], "server-0", {"weights": "/m/big", "weights:small": "/m/small"}, {}
    )
    assert bound.argv == ("serve", "/m/big", "--draft", '{"model": "/m/small"}')


def test_weights_may_be_a_folder(tmp_path: Path) -> None:
    """Its size is not compared with that of a file. One with a hash must be a file."""
    weights = Weights(
        precision="bf16", format="hf", source=f"file:{tmp_path}", revision="1", size_bytes=9
    )
    assert locate(weights) == str(tmp_path)
    with pytest.raises(EngineError, match="missing"):
        locate(attrs.evolve(weights, sha256="0" * 64))
    assert locate(DRAFT) == "o/small"


def test_a_suite_gives_a_model_options(tmp_path: Path) -> None:
    """As a mapping, or as on a command line; a name alone as before."""
    file = tmp_path / "suite.yaml"
    file.write_text(
        "deployments:\n"
        "  - {engine: e, model: plain}\n"
        "  - {engine: e, model: 'big:path=/m,draft=/d'}\n"
        "  - engine: e\n    model: {big: {path: /m}}\n"
        "workloads: [w]\n"
    )
    models = [one.model for one in structure(read(file)).deployments]
    assert [model and (model.name, dict(model.options)) for model in models] == [
        ("plain", {}),
        ("big", {"path": "/m", "draft": "/d"}),
        ("big", {"path": "/m"}),
    ]


def test_records_of_a_run_have_the_models_facts() -> None:
    """The template as a hash; what a spec says is unknown is not there."""
    model = ModelSpec(
        name="big", summary="s", chat_template="{{ x }}", facts=FrozenMap({"type": "llama"})
    )
    facts = model_facts(model, REQUEST)
    assert facts["weights.revision"] == "r1"
    assert facts["model.type"] == "llama"
    assert len(facts["model.chat_template.sha256"]) == 64
    assert set(model_facts(attrs.evolve(model, chat_template=None), REQUEST)) < set(facts)
    assert parsers_of(model, "e") is None


class Letters:
    """A library's tokenizer of one letter each, as far as it is used."""

    def get_vocab_size(self) -> int:
        """Letters and one mark."""
        return 27

    def encode(self, text: str, *, add_special_tokens: bool) -> Letters:
        """Numbers of letters."""
        self.ids = [0] * add_special_tokens + [ord(letter) - 96 for letter in text]
        return self

    def decode(self, ids: list[int], *, skip_special_tokens: bool) -> str:
        """Letters of numbers."""
        return "".join(chr(96 + one) for one in ids if one or not skip_special_tokens)


@pytest.mark.covers(
    "LibraryTokenizer.encode",
    "LibraryTokenizer.decode",
    "LibraryTokenizer.vocab_size",
    "LibraryTokenizer.special_ids",
)
def test_a_librarys_tokenizer_is_wrapped() -> None:
    """Without special tokens when encoding, with them when decoding."""
    tokenizer = LibraryTokenizer(Letters(), special_ids=[0])
    assert tokenizer.encode("ab") == (1, 2)
    assert tokenizer.decode((1, 0, 2)) == "a`b"
    assert (tokenizer.vocab_size, tokenizer.special_ids) == (27, {0})


def test_a_tokenizer_file_is_read_or_the_reason_given(tmp_path: Path, monkeypatch) -> None:
    """Errors begin with what it is for."""
    file = tmp_path / "tokenizer.json"
    for content, said in ((None, "cannot read"), (b"\xff", "not text"), (b"{}", "not a tokenizer")):
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(UsageError, match=f"for a test: .*{said}"):
            read_tokenizer(file, where="for a test")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(OptionalFeatureMissing) as caught:
        read_tokenizer(file, install="pip install it")
    assert caught.value.hint == "pip install it"
