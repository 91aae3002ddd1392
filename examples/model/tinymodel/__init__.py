"""Tinymodel: the pairs of successive words in a small text. Data only."""

from tokenbench import api

WORDS = api.Weights(
    precision="words",
    format="word-pairs",
    source="package:tinymodel/tinymodel/words.txt",
    revision="tinymodel 0.1.0",
    size_bytes=519,
    sha256="bbb312ddc613d84f728a6b2a457a3d4874d56699fb0847f02fa521cc01770c8e",
    license="Apache-2.0",
)
# Counted in words.txt on 2026-11-21: 77 different pairs of 39 different words.
SHAPE = api.Architecture(parameters=77, layers=1, vocabulary=39)
FAST = api.Recipe(
    engine="tinyengine",
    hardware="tinychip",
    role="server",
    flags=api.FrozenMap({"--concurrency": 8}),
    source="T1 data sheet: 8 requests at a time",
    date="2026-10-01",
)
CHANCE = api.AccuracyThreshold(
    eval="gsm8k", minimum=0.0, source="chance: word pairs cannot calculate", date="2026-11-21"
)


@api.hookimpl
def bench_register_models() -> list[api.ModelSpec]:
    return [
        api.ModelSpec(
            name="tinymodel",
            summary="77 pairs of 39 words",
            weights=(WORDS,),
            architecture=SHAPE,
            recipes=(FAST,),
            thresholds=(CHANCE,),
        )
    ]
