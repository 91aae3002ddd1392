"""Plugins that say what there is and how to speak to it, as they were written for API 0.1.

FROZEN: never edit it. It stands for the plugins of other people that nobody edits either. It is
deleted when its major version is no longer supported; until then what breaks it is broken.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tokenbench.api import (
    SERVER,
    AccuracyThreshold,
    Architecture,
    Codec,
    CodecSpec,
    DeviceInfo,
    FrozenMap,
    Hardware,
    HardwareSpec,
    HttpRequest,
    ModelSpec,
    NoOptions,
    Probe,
    Recipe,
    Sample,
    Sampler,
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

NAME = "api-0-1"


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

    def probe(self) -> Probe:
        device = DeviceInfo(
            index=0,
            name="own one",
            handle="own-0",
            sku="OWN-1",
            uuid="u",
            memory_bytes=8 << 30,
            power_limit_w=75.0,
            default_power_limit_w=75.0,
            driver="1",
        )
        notes = FrozenMap({"temperature_c": "no sensor"})
        return Probe(devices=(device,), notes=notes, facts=FrozenMap({"bus": "pci"}))

    def environment(self) -> FrozenMap[str]:
        return FrozenMap({"OWN_VISIBLE_DEVICES": "{devices}"})

    def sampler(self, devices: Sequence[int]) -> Sampler | None:
        return OwnSampler(devices)


class OwnSampler(Sampler):
    def __init__(self, devices: Sequence[int]) -> None:
        self._devices, self._joules = devices, 0.0

    def sample(self) -> Sequence[Sample]:
        self._joules += 10.0
        known: dict[str, Any] = {"utilization": 0.5, "memory_used_bytes": 1, "clock_hz": 1e9}
        return [
            Sample(device=d, power_w=40.0, energy_j=self._joules, throttle=(), **known)
            for d in self._devices
        ]

    def close(self) -> None:
        self._devices = ()


@hookimpl
def bench_register_hardware() -> Sequence[HardwareSpec]:
    spec = HardwareSpec(
        name=NAME,
        summary="chips",
        options=NoOptions,
        factory=lambda options: OwnHardware(),
        accelerated=True,
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
    return [CodecSpec(name=NAME, summary="lines", factory=OwnCodec)]
