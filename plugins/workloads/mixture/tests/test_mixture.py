"""The workload `mixture`: the conformance kit, shares, labels, models."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from tokenbench_workload_mixture.plugin import MixtureOptions, parts_of
from tokenbench_workload_mixture.workload import MixtureWorkload, PartSession

from tokenbench.api import (
    FrozenMap,
    Session,
    SingleTurn,
    TextPrompt,
    Turn,
    TurnResult,
    Workload,
    WorkloadContext,
)
from tokenbench_testing import WorkloadKit

PARTS = FrozenMap(
    {
        "chat": FrozenMap({"workload": "random", "share": 3}),
        "code": FrozenMap({"workload": "prefix", "model": "adapter"}),
    }
)
PLAIN = WorkloadContext(tokenizer=None, token_ids=False, chat=False)


class TestMixture(WorkloadKit):
    """Two parts."""

    name = "mixture"
    options = FrozenMap(parts=PARTS)


@attrs.define
class Two(Session):
    """Two turns."""

    text: str

    def next(self, previous: TurnResult | None) -> Turn | None:
        """The first, then the second."""
        if previous is not None and (previous.number or not previous.ok):
            return None
        return Turn(prompt=TextPrompt(self.text), max_tokens=1, label="own")


class Numbered(Workload):
    """Sessions of one or two turns."""

    def __init__(self, *, two: bool, tokens: int | None, data: str | None) -> None:
        self._two, self._tokens, self._data = two, tokens, data

    def context_tokens(self) -> int | None:
        """As given."""
        return self._tokens

    def dataset_hash(self) -> str | None:
        """As given."""
        return self._data

    def sessions(self, context: WorkloadContext, seed: int) -> Iterator[Session]:
        """Endless."""
        for number in itertools.count():
            text = f"{seed} {number}"
            if self._two:
                yield Two(text)
            else:
                yield SingleTurn(Turn(prompt=TextPrompt(text), max_tokens=1))


def _mixture(**more: Any) -> MixtureWorkload:
    one = Numbered(two=False, tokens=10, data=None)
    other = Numbered(two=True, **{"tokens": 20, "data": "a" * 64, **more})
    return MixtureWorkload(parts_of(MixtureOptions(parts=PARTS)), (one, other))


def test_shares_and_labels() -> None:
    """Three of four sessions are of the first part; single requests stay prepared."""
    found = list(itertools.islice(_mixture().sessions(PLAIN, 1), 4000))
    labels = Counter(
        session.turn.label if isinstance(session, SingleTurn) else session.label
        for session in found
        if isinstance(session, SingleTurn | PartSession)
    )
    assert labels.total() == 4000
    assert labels["chat"] / 4000 == pytest.approx(0.75, abs=0.03)
    first = next(session for session in found if isinstance(session, PartSession))
    (turn,) = first.next(None)
    assert (turn.label, turn.model) == ("code", "adapter")
    (again,) = first.next(TurnResult(number=0, ok=True, text=""))
    assert again.label == "code"
    assert first.next(TurnResult(number=1, ok=True, text="")) == ()


def test_needs_of_the_parts() -> None:
    """The largest context, if all are known; one hash for all data sets."""
    assert _mixture().context_tokens() == 20
    assert _mixture(tokens=None).context_tokens() is None
    assert _mixture(data=None).dataset_hash() is None
    one, other = _mixture().dataset_hash(), _mixture(data="b" * 64).dataset_hash()
    assert one and other and one != other


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "expected at least one"),
        ({"a": "random"}, "parts.a: expected a mapping with a workload"),
        ({"a": {"workload": "random", "shre": 1}}, "parts.a.shre: unknown; expected model"),
        ({"a": {"workload": "random", "share": 0}}, "parts.a.share: expected more than 0"),
        ({"a": {"workload": "random", "options": 3}}, "parts.a.options: expected a mapping"),
    ],
)
def test_wrong_parts_are_refused(parts: dict[str, Any], message: str) -> None:
    """With the place."""
    with pytest.raises(ValueError, match=message):
        MixtureOptions(parts=FrozenMap(parts))
