"""The engine that starts the word server, and the codec of its protocol."""

import json
import sys
from collections.abc import Sequence

from tokenbench import api


class TinyEngine(api.Engine):
    def plan(self, request: api.EngineRequest) -> api.LaunchPlan:
        flags = {"--host": "{host}", "--port": "{port:http}", "--weights": "{weights}"}
        server = api.ProcessSpec(
            argv=(sys.executable, "-P", "-m", "tinyengine.server"),
            flags={**flags, "--concurrency": request.needs.concurrency},
            accelerators=request.layout.accelerators,
        )
        return api.LaunchPlan(processes=(server,), start_timeout_s=30)

    def dialect(self, request: api.EngineRequest) -> api.Dialect:
        return api.Dialect(codecs=(TinyTalk.name,), ignore_eos=True)

    def version(self, server: api.ServerClient) -> str:
        return server.get("/version").text

    def counters(self, pages: Sequence[api.MetricsPage]) -> api.Counters:
        page = api.merge_pages(pages)
        known = ("prompt_tokens", "generated_tokens", "running")
        return api.Counters(**{name: page.sum(f"tiny_{name}") for name in known})


class TinyTalk(api.Codec):
    name = "tiny-talk"
    framing = "lines"

    def encode(self, turn: api.Turn, target: api.Target) -> api.HttpRequest:
        if not isinstance(turn.prompt, api.TextPrompt):
            raise api.UsageError("tinyengine supports only plain text", hint="use format=text")
        body = {"text": turn.prompt.text, "tokens": turn.max_tokens}
        body |= {**target.dialect.extra_body, **turn.extra_body}
        return api.HttpRequest(path="/talk", body=json.dumps(body).encode())

    def classify(self, event: bytes) -> api.StreamEvent:
        match json.loads(event):
            case {"word": str(word)}:
                return api.StreamEvent(token=True, n_tokens=1, text=word)
            case {"in": int(n_in), "out": int(n_out)}:
                return api.StreamEvent(n_in=n_in, n_out=n_out, done=True)
        raise ValueError(f"neither a word nor the counts: {event!r}")


@api.hookimpl
def bench_register_engines() -> list[api.EngineSpec]:
    lacks = api.FrozenMap({"tp": "a word comes from one chip (tinyengine 0.1.0)"})
    can = api.EngineCapabilities(
        weight_formats=("word-pairs",), counters=True, prefix_caching_off=True, lacks=lacks
    )
    spec = api.EngineSpec(
        name="tinyengine",
        summary="a server that generates words",
        factory=lambda *_: TinyEngine(),
        capabilities=can,
    )
    return [spec]


@api.hookimpl
def bench_register_codecs() -> list[api.CodecSpec]:
    return [
        api.CodecSpec(
            name=TinyTalk.name, summary="words as JSON lines", factory=lambda *_: TinyTalk()
        )
    ]
