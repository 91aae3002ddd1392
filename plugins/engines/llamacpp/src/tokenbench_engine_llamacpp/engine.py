"""The engine `llamacpp`: launch plan, dialect and counters of llama.cpp's server.

Observed with xllamacpp 2026.10.11549 (2026-11-21): `/health` answers 503 while the model loads;
`/props` reports the build; token-id prompts get no BOS token, so usage counts them exactly; a chunk
has one token, or more if a token ends inside a UTF-8 character.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    Counters,
    Dialect,
    Engine,
    EngineRequest,
    FileSpec,
    FrozenMap,
    LaunchPlan,
    MetricsPage,
    ProcessSpec,
    ServerClient,
    UsageError,
    merge_pages,
)

if TYPE_CHECKING:
    from .plugin import LlamaCppOptions

_SERVER = "server.py"
# Enough for the readiness check and a short eval.
_LEAST_CONTEXT = 512
_TEMPLATE = "chat-template.jinja"


class LlamaCpp(Engine):
    """One llama.cpp server with parallel slots and continuous batching."""

    def __init__(self, options: LlamaCppOptions) -> None:
        self._options = options

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """One process. `--ctx-size` is the sum over all slots."""
        options = self._options
        slots = options.slots or request.needs.concurrency
        context = options.context_tokens or max(request.needs.context_tokens or 0, _LEAST_CONTEXT)
        limit = request.architecture.context_tokens
        if limit is not None and context > limit:
            raise UsageError(
                f"the workload needs a context of {context} tokens, but {request.model} supports "
                f"{limit}",
                hint="use shorter prompts or outputs",
            )
        flags: dict[str, str | int | float | bool | None] = {
            "--model": "{weights}",
            "--alias": request.served_name,
            "--host": "{host}",
            "--port": "{port:http}",
            "--ctx-size": context * slots,
            "--parallel": slots,
            "--threads": options.threads or "{cpus}",
            "--batch-size": self._batch(context),
            "--cache-prompt": self._caches(request),
            # Pool from the last token, as embedding models do; generative models name no pooling.
            "--pooling": "last" if options.embeddings else None,
            # The tokens of a sequence are computed in one batch.
            "--ubatch-size": context if options.embeddings else None,
            "--load-timeout": options.start_timeout_s,
            "--chat-template-file": f"{{file:{_TEMPLATE}}}" if options.chat_template_file else None,
        }
        server = ProcessSpec(
            argv=(options.python or sys.executable, f"{{file:{_SERVER}}}"),
            flags=FrozenMap(flags),
            files=self._files(),
        )
        return LaunchPlan(
            processes=(server,), start_timeout_s=options.start_timeout_s, speculation="none"
        )

    def _files(self) -> tuple[FileSpec, ...]:
        """The server's script is part of the plan, so that any interpreter can run it."""
        source = Path(__file__).with_name(_SERVER).read_text(encoding="utf-8")
        server = FileSpec(name=_SERVER, content=source)
        path = self._options.chat_template_file
        if path is None:
            return (server,)
        return (server, FileSpec.read(_TEMPLATE, path, "chat template"))

    def dialect(self, request: EngineRequest) -> Dialect:
        """Completions first: they accept token ids, so lengths are exact."""
        if self._options.embeddings:
            return Dialect(codecs=(EMBEDDINGS,), token_id_prompts=True, usage=True)
        return Dialect(
            codecs=(COMPLETIONS, CHAT),
            token_id_prompts=True,
            ignore_eos=True,
            seed=True,
            done_event=True,
            extra_body=FrozenMap({"cache_prompt": self._caches(request)}),
        )

    def _batch(self, context: int) -> int | None:
        """To embed a sequence, all of its tokens must be in one batch."""
        asked = self._options.batch_tokens
        if not self._options.embeddings:
            return asked
        if asked is not None and asked < context:
            raise UsageError(
                f"llamacpp: embeddings need batch_tokens of at least the context, {context}",
                hint="remove batch_tokens",
            )
        return asked or context

    def _caches(self, request: EngineRequest) -> bool:
        """Whether prompts are cached: the option or the load asks for it."""
        return self._options.prefix_caching or request.needs.prefix_caching

    def planned_version(self) -> str | None:
        """Version of the package, if it is installed in this environment."""
        if self._options.python is not None:
            return None
        try:
            return f"xllamacpp {importlib.metadata.version('xllamacpp')}"
        except importlib.metadata.PackageNotFoundError:
            return None

    def version(self, server: ServerClient) -> str | None:
        """The package's version, if it runs on this machine, and the build in `/props` (PyPI builds
        report none).
        """
        build = self._props(server).get("build_info")
        planned = self.planned_version() if server.endpoints[0].here else None
        return " ".join(str(part) for part in (planned, build and f"({build})") if part) or None

    def facts(self, server: ServerClient) -> FrozenMap[str]:
        """Slots, context and model that the server reports."""
        props = self._props(server)
        facts: dict[str, str] = {
            name: str(props[name]) for name in ("total_slots", "model_alias") if name in props
        }
        settings = props.get("default_generation_settings")
        if isinstance(settings, dict) and "n_ctx" in settings:
            facts["slot_context_tokens"] = str(settings["n_ctx"])
        return FrozenMap(facts)

    def reset_cache(self, server: ServerClient) -> bool:
        """Erase the cache of every slot."""
        slots = json.loads(server.get("/slots").text)
        replies = [server.post(f"/slots/{slot['id']}?action=erase") for slot in slots]
        return all(reply.status == 200 for reply in replies)

    def counters(self, pages: Sequence[MetricsPage]) -> Counters:
        """`prompt_tokens_total` counts computed tokens; cached tokens have their own counter. The
        counters of replicas are added up.
        """
        page = merge_pages(pages)
        computed = page.sum("llamacpp:prompt_tokens_total")
        cached = page.sum("llamacpp:prompt_tokens_cached_total")
        return Counters(
            prompt_tokens=None if computed is None else computed + (cached or 0.0),
            cached_prompt_tokens=cached,
            generated_tokens=page.sum("llamacpp:tokens_predicted_total"),
            running=page.sum("llamacpp:requests_processing"),
            waiting=page.sum("llamacpp:requests_deferred"),
            draft_tokens=page.sum("llamacpp:spec_decode_num_draft_tokens_total"),
            accepted_draft_tokens=page.sum("llamacpp:spec_decode_num_accepted_tokens_total"),
        )

    @staticmethod
    def _props(server: ServerClient) -> dict[str, object]:
        reply = server.get("/props")
        found = json.loads(reply.text) if reply.status == 200 else {}
        return found if isinstance(found, dict) else {}
