"""Generates texts that hide numbers."""

from __future__ import annotations

import random

import attrs

# Tokens of a word with its punctuation. SmolLM2's tokenizer makes 1.13 of one (50 texts for 2,000
# tokens, 2026-11-30); the rest is a margin for other vocabularies: a text must fit the context.
TOKENS_PER_WORD = 1.23
DEPTHS = 10
"""Number of equal parts of a text; a fact is in one of them."""

_PEOPLE = (
    *("the baker", "a sailor", "the teacher", "my neighbour", "the gardener", "a painter"),
    *("the doctor", "an old farmer", "the librarian", "a young clerk", "the carpenter"),
)
_DOINGS = (
    *("walked along the river", "looked at the clouds", "closed the window", "opened a letter"),
    *("waited for the train", "read the newspaper", "repaired the gate", "watered the roses"),
    *("bought some apples", "told a long story", "counted the boats", "swept the floor"),
)
_TIMES = (
    *("in the early morning", "after lunch", "before the rain", "late in the evening"),
    *("on a cold day", "when the bells rang", "during the holidays", "at the end of the week"),
)
_PLACES = (
    *("Amberfield", "Brookhaven", "Cedar Hill", "Dunmore", "Eastwick", "Fernley", "Glenrock"),
    *("Harborview", "Ironbridge", "Juniper Bay", "Kingsford", "Larkspur", "Millbrook", "Northgate"),
    *("Oakdale", "Pinecrest", "Quarry Bank", "Ravenswood", "Silverton", "Thornbury", "Underhill"),
    *(
        "Valleyford",
        "Westmere",
        "Yarrow Point",
        "Zephyr Cove",
        "Ashbourne",
        "Birchwood",
        "Coldwater",
    ),
)


@attrs.frozen
class Hidden:
    """A text, the place whose number is asked for, that number, and in which tenth it stands."""

    text: str
    place: str
    number: int
    depth: int


def hidden(number: int, seed: int, *, input_tokens: int, facts: int) -> Hidden:
    """The text of one question. The same arguments give the same text.

    Args:
        number: of the question; it sets the depth of the fact that is asked for.
        facts: how many numbers the text has; at most one for each place.
    """
    dice = random.Random(f"{seed} {number} {input_tokens} {facts}")
    places = dice.sample(_PLACES, min(facts, len(_PLACES)))
    values = dice.sample(range(10_000, 100_000), len(places))
    said = [
        f"The secret number of {place} is {value}."
        for place, value in zip(places, values, strict=True)
    ]
    words = input_tokens / TOKENS_PER_WORD - sum(len(one.split()) for one in said) - 40
    sentences: list[str] = []
    while words > 0:
        sentences.append(_sentence(dice))
        words -= len(sentences[-1].split())
    depth = number % DEPTHS
    spots = [int((depth + dice.random()) / DEPTHS * len(sentences))]
    spots += [dice.randrange(len(sentences) + 1) for _ in said[1:]]
    # From the back, so that earlier positions stay valid.
    for spot, fact in sorted(zip(spots, said, strict=True), reverse=True):
        sentences.insert(spot, fact)
    return Hidden(" ".join(sentences), places[0], values[0], depth)


def _sentence(dice: random.Random) -> str:
    person, doing, time = dice.choice(_PEOPLE), dice.choice(_DOINGS), dice.choice(_TIMES)
    other, after = dice.choice(_PEOPLE), dice.choice(_DOINGS)
    text = f"{person} {doing} {time}, and {other} {after}."
    return text[0].upper() + text[1:]
