"""Flag grammars: one name for each flag, whoever sets it, and the command line in the end."""

from __future__ import annotations

import json

import pytest

from tokenbench.api import FlagGrammar, FrozenMap

GRAMMAR = FlagGrammar(
    aliases=FrozenMap({"-tp": "--tensor-parallel-size", "--tp": "--tensor-parallel-size"}),
    negations=FrozenMap({"--no-enable-prefix-caching": "--enable-prefix-caching"}),
    json=("--speculative-config",),
    repeated=("--middleware",),
    underscores=True,
)


@pytest.mark.parametrize(
    ("flag", "value", "canonical"),
    [
        ("-tp", 4, ("--tensor-parallel-size", 4)),
        ("--tensor_parallel_size", 4, ("--tensor-parallel-size", 4)),
        ("--no-enable-prefix-caching", True, ("--enable-prefix-caching", False)),
        ("--no_enable_prefix_caching", False, ("--enable-prefix-caching", True)),
        ("--no-enable-prefix-caching", None, ("--enable-prefix-caching", None)),
        ("--speculative_config.num_tokens", 3, ("--speculative-config.num_tokens", 3)),
        ("--other", "x", ("--other", "x")),
    ],
)
def test_each_flag_has_one_name(flag: str, value: object, canonical: object) -> None:
    """Aliases, underscores (not in keys of JSON) and negative forms."""
    assert GRAMMAR.canonical(flag, value) == canonical  # type: ignore[arg-type]


def test_json_is_merged_by_key() -> None:
    """Text, a mapping and dotted keys are the same; what was merged becomes one argument."""
    text = '{"method": "ngram", "model": {"path": "x"}}'
    leaves = dict(GRAMMAR.leaves("--speculative-config", text))
    assert leaves == {
        "--speculative-config.method": "ngram",
        "--speculative-config.model.path": "x",
    }
    mapping = FrozenMap({"method": "ngram", "model": FrozenMap({"path": "x"})})
    assert dict(GRAMMAR.leaves("--speculative-config", mapping)) == leaves
    joined = GRAMMAR.joined({**leaves, "--speculative-config.model.tp": 2, "--x": 1})
    assert list(joined) == ["--speculative-config", "--x"]
    flag, rendered = GRAMMAR.render("--speculative-config", joined["--speculative-config"])
    assert flag == "--speculative-config"
    assert json.loads(rendered) == {"method": "ngram", "model": {"path": "x", "tp": 2}}


@pytest.mark.parametrize(
    ("flag", "value", "shown"),
    [
        ("--enable-prefix-caching", True, ("--enable-prefix-caching",)),
        ("--enable-prefix-caching", False, ("--no-enable-prefix-caching",)),
        ("--enable-prefix-caching", None, ()),
        ("--trust", False, ()),
        ("--middleware", ("a", "b"), ("--middleware", "a", "--middleware", "b")),
        ("--sizes", (1, 2), ("--sizes", "1", "2")),
        ("--config", FrozenMap({"a": (1, 2)}), ("--config", '{"a":[1,2]}')),
        ("--rate", 0.5, ("--rate", "0.5")),
    ],
)
def test_how_a_flag_is_written(flag: str, value: object, shown: tuple[str, ...]) -> None:
    """False is the negative form where there is one; a repeated flag comes once a value."""
    assert GRAMMAR.render(flag, value) == shown  # type: ignore[arg-type]


def test_what_a_grammar_refuses() -> None:
    """A value for a negative form, and text that is no JSON object."""
    with pytest.raises(ValueError, match="--no-enable-prefix-caching takes no value, got 4"):
        GRAMMAR.canonical("--no-enable-prefix-caching", 4)
    with pytest.raises(ValueError, match="--speculative-config takes a JSON object, got 'ngram'"):
        list(GRAMMAR.leaves("--speculative-config", "ngram"))
