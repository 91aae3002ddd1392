"""Plugins that say what there is and how to speak to it, as they were written for API 0.2.

FROZEN: never edit it. It stands for the plugins of other people that nobody edits either. It is
deleted when its major version is no longer supported; until then what breaks it is broken.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from tokenbench.api import (
    SERVER,
    AccuracyThreshold,
    Architecture,
    Codec,
    CodecSpec,
    DeviceSettings,
    FrozenMap,
    Hardware,
    HardwareSpec,
    HttpRequest,
    ModelSpec,
    NodeProgram,
    NoOptions,
    Recipe,
    Sku,
    StreamEvent,
    Target,
    TextPrompt,
    Tokenizer,
    Turn,
    UsageError,
    Weights,
    hookimpl,
)

NAME = "api-0-2"


# -- hardware ------------------------------------------------------------------------------------
class OwnHardware(Hardware):
    def catalogue(self) -> Sequence[Sku]:
        return [
            Sku(
                name="OWN-1",
                vendor="own",
                source="its maker's page",
                date="2026-11-21",
                aliases=("own one",),
                memory_bytes=8 << 30,
                memory_bandwidth_bytes_s=1e11,
                tdp_w=75.0,
                dense_flops=FrozenMap({"bf16": 1e13}),
            )
        ]

    def settings(self, sku: str | None) -> Sequence[DeviceSettings]:
        setting = DeviceSettings(
            reason="each process uses its own",
            environment=FrozenMap({"OWN_VISIBLE_DEVICES": "{devices}"}),
            devices=("/dev/own0",),
            groups=("own",),
        )
        return [setting]

    def program(self) -> NodeProgram | None:
        return NodeProgram(
            module="tokenbench_api_0_2_fixture_node",
            bindings=(),
            options=FrozenMap({"watts": 40.0, "alias": "own one"}),
        )


@hookimpl
def bench_register_hardware() -> Sequence[HardwareSpec]:
    spec = HardwareSpec(
        name=NAME,
        summary="chips",
        options=NoOptions,
        factory=lambda options, context: OwnHardware(),
        domain="accelerator",
    )
    return [spec]


# -- model ---------------------------------------------------------------------------------------
class OwnTokenizer(Tokenizer):
    def __init__(self, weights: str) -> None:
        self.weights = weights

    @property
    def vocab_size(self) -> int:
        return 256

    @property
    def special_ids(self) -> frozenset[int]:
        return frozenset({0})

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(ids).decode(errors="replace")


@hookimpl
def bench_register_models() -> Sequence[ModelSpec]:
    weights = Weights(
        precision="w8", format="own", source="hub:own/model", revision="1", license="Apache-2.0"
    )
    recipe = Recipe(
        engine=NAME,
        hardware=NAME,
        precision="w8",
        role=SERVER,
        flags=FrozenMap({"--ttft-s": 0.002}),
        environment=FrozenMap({"OWN_RECIPE": "1"}),
        source="its maker's page",
        date="2026-11-21",
    )
    spec = ModelSpec(
        name=NAME,
        summary="a model",
        weights=(weights,),
        architecture=Architecture(parameters=8, layers=2, context_tokens=4096),
        recipes=(recipe,),
        thresholds=(AccuracyThreshold(eval=NAME, minimum=0.1, source="s", date="d", variant="v1"),),
        tokenizer=OwnTokenizer,
    )
    return [spec]


# -- codec ---------------------------------------------------------------------------------------
class OwnCodec(Codec):
    name = NAME
    framing = "lines"
    ends_with_done = True

    def encode(self, turn: Turn, target: Target) -> HttpRequest:
        if not isinstance(turn.prompt, TextPrompt):
            raise UsageError("text only", hint="ask for text")
        body = {"text": turn.prompt.text, "tokens": turn.max_tokens, "model": target.model}
        content = json.dumps({**body, **target.dialect.extra_body, **turn.extra_body}).encode()
        return HttpRequest(
            path="/lines", body=content, method="POST", content_type="application/json"
        )

    def classify(self, event: bytes) -> StreamEvent:
        said = json.loads(event)
        if "word" in said:
            return StreamEvent(token=True, n_tokens=1, text=said["word"])
        return StreamEvent(n_in=said["in"], n_out=said["out"], finish="length", done=True)


@hookimpl
def bench_register_codecs() -> Sequence[CodecSpec]:
    return [CodecSpec(name=NAME, summary="lines", factory=lambda options, context: OwnCodec())]
