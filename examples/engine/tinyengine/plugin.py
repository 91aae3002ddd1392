"""The engine that starts the word server, and the codec of its protocol."""

import json
import sys

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
        return api.Dialect(codecs=(TinyTalk.name,), ignore_eos=True, chunk_is_token=True)

    def version(self, server: api.Server) -> str:
        return server.get("/version").text

    def quiescent(self, server: api.Server) -> bool:
        return self.counters(server.get("/metrics").text).running == 0

    def counters(self, text: str) -> api.Counters:
        page = api.parse_prometheus(text)
        known = ("prompt_tokens", "generated_tokens", "running")
        return api.Counters(**{name: page.get(f"tiny_{name}") for name in known})


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
    can = api.EngineCapabilities(weight_formats=("word-pairs",), counters=True)
    spec = api.EngineSpec(
        name="tinyengine",
        summary="a server that generates words",
        factory=lambda _options, _context: TinyEngine(),
        capabilities=can,
    )
    return [spec]


@api.hookimpl
def bench_register_codecs() -> list[api.CodecSpec]:
    return [api.CodecSpec(name=TinyTalk.name, summary="words as JSON lines", factory=TinyTalk)]
