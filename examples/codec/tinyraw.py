"""llama.cpp's own protocol, `POST /completion`: the codec, and an engine that uses it."""

import json
from collections.abc import Sequence

from tokenbench import api


class Completion(api.Codec):
    name = "llama-completion"
    framing = "sse"

    def encode(self, turn: api.Turn, target: api.Target) -> api.HttpRequest:
        body: dict[str, object] = {"stream": True, "temperature": turn.temperature}
        match turn.prompt:
            case api.TextPrompt(text):
                body["prompt"] = text
            case api.TokenPrompt(ids) if target.dialect.token_id_prompts:
                body["prompt"] = list(ids)
            case _:
                raise api.UsageError("/completion takes no messages", hint="use text prompts")
        body["n_predict"] = turn.max_tokens
        if turn.exact_output and target.dialect.ignore_eos:
            body["ignore_eos"] = True
        if turn.seed is not None and target.dialect.seed:
            body["seed"] = turn.seed
        body |= {**target.dialect.extra_body, **turn.extra_body}
        return api.HttpRequest(path="/completion", body=json.dumps(body).encode())

    def classify(self, event: bytes) -> api.StreamEvent:
        match json.loads(event):
            case {"stop": False, "content": str(text), "tokens_predicted": int(n_out)}:
                return api.StreamEvent(token=True, text=text, n_out=n_out)
            case {"stop": True, "tokens_evaluated": int(n_in), "tokens_predicted": int(n_out)}:
                return api.StreamEvent(n_in=n_in, n_out=n_out, done=True)
            case {"error": {"message": str(text)}}:
                return api.StreamEvent(error=text)
        raise ValueError(f"not an event of /completion: {event[:80]!r}")


class TinyRaw(api.Engine):
    """Everything but the dialect is that of the engine `llamacpp`."""

    def __init__(self, llamacpp: api.Engine) -> None:
        self._llamacpp = llamacpp

    def plan(self, request: api.EngineRequest) -> api.LaunchPlan:
        return self._llamacpp.plan(request)

    def dialect(self, request: api.EngineRequest) -> api.Dialect:
        return api.Dialect(
            codecs=(Completion.name, api.CHAT),
            token_id_prompts=True,
            ignore_eos=True,
            seed=True,
            extra_body=api.FrozenMap(cache_prompt=False),
        )

    def version(self, server: api.ServerClient) -> str | None:
        return self._llamacpp.version(server)

    def counters(self, pages: Sequence[api.MetricsPage]) -> api.Counters:
        return self._llamacpp.counters(pages)


@api.hookimpl
def bench_register_codecs() -> list[api.CodecSpec]:
    summary = "llama.cpp's own completion protocol"
    return [api.CodecSpec(name=Completion.name, summary=summary, factory=lambda *_: Completion())]


@api.hookimpl
def bench_register_engines() -> list[api.EngineSpec]:
    spec = api.EngineSpec(
        name="tinyraw",
        summary="llama.cpp, measured through its own protocol",
        factory=lambda _options, context: TinyRaw(context.engine("llamacpp")),
        capabilities=api.EngineCapabilities(
            weight_formats=("gguf",), hardware=("cpu",), counters=True
        ),
    )
    return [spec]
