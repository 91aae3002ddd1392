"""A scripted server with a real prefix cache: ``python -m tokenbench_testing.cache_server``.

It takes the options of :mod:`tokenbench_testing.server`, and keeps blocks of prompts like vLLM: a
block is found if it and all blocks before it are the same, the least recently used one is evicted,
and at least one token of each prompt is computed. Token ids are tokens, words of a text are tokens.
``POST /reset_prefix_cache`` empties it. Cached tokens are prefilled at no cost, others at
``--prefill-s-per-token``.

============================ ==================================================================
``--block N``                tokens in a block
``--capacity N``             blocks in the cache; default: no limit
``--context N``              refuses requests whose prompt and answer have more tokens
``--refuse-after-reset N``   refuses so many requests whenever the cache was emptied
``--prefill-s-per-token S``  time to compute one prompt token that is not cached
``--log FILE``               appends, for each request, its tokens, hits and headers as JSON lines
============================ ==================================================================
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from .server import ScriptedServer, parser, write_plain


class PrefixCache:
    """Blocks of prompts by their content and what is before it. `capacity` None: no limit."""

    def __init__(self, block: int, capacity: int | None) -> None:
        self.block, self.capacity = block, capacity
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._blocks)

    def clear(self) -> None:
        """Empty it."""
        self._blocks.clear()

    def lookup(self, tokens: Sequence[int | str]) -> int:
        """Number of the prompt's tokens that are in the cache. Adds the prompt to it."""
        chain, cached, found = 0, 0, True
        for start in range(0, len(tokens) - self.block + 1, self.block):
            chain = hash((chain, tuple(tokens[start : start + self.block])))
            found = found and chain in self._blocks
            # At least one token has to be computed.
            if found and start + self.block < len(tokens):
                cached = start + self.block
            self._blocks[chain] = None
            self._blocks.move_to_end(chain)
        while self.capacity is not None and len(self._blocks) > self.capacity:
            self._blocks.popitem(last=False)
        return cached


class CacheServer(ScriptedServer):
    """The scripted server with a cache. `log` has what it saw of each request."""

    def __init__(self, script: argparse.Namespace) -> None:
        super().__init__(script)
        self.cache = PrefixCache(script.block, script.capacity)
        self._to_refuse = 0

    async def respond(self, path: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        """Empty the cache, refuse what is too long, and answer as the scripted server does."""
        if path.partition("?")[0] == "/reset_prefix_cache":
            self.cache.clear()
            self._to_refuse = self.script.refuse_after_reset
            self.note({"reset": True})
            write_plain(writer, 200, "{}")
            await writer.drain()
            return
        if self._to_refuse and path.startswith("/v1/") and body:
            self._to_refuse -= 1
            write_plain(writer, 400, json.dumps({"error": {"message": "refused by script"}}))
            await writer.drain()
            return
        context = self.script.context
        if context is not None and path.startswith("/v1/") and body:
            request = json.loads(body)
            asked = len(tokens_of(request)) + request["max_tokens"]
            if asked > context:
                self.note({"overflow": asked})
                text = f"This model's maximum context length is {context} tokens, got {asked}."
                write_plain(writer, 400, json.dumps({"error": {"message": text}}))
                await writer.drain()
                return
        await super().respond(path, body, writer)

    async def cached_tokens_of(self, request: dict[str, Any], n_in: int) -> int:
        """Look the prompt up, and wait for the prefill of the rest."""
        cached = self.cache.lookup(tokens_of(request))
        self.note(
            {
                "n_in": n_in,
                "cached": cached,
                "max_tokens": request["max_tokens"],
                "model": request.get("model"),
            }
        )
        await asyncio.sleep(self.script.prefill_s_per_token * (n_in - cached))
        return cached

    def note(self, seen: dict[str, Any]) -> None:
        """Append to the log."""
        if self.script.log is not None:
            with open(self.script.log, "a", encoding="utf-8") as out:  # noqa: PTH123 - as given
                out.write(json.dumps(seen) + "\n")


def tokens_of(request: dict[str, Any]) -> Sequence[int | str]:
    """The tokens of a prompt: its ids, or its words."""
    prompt = request.get("prompt")
    if isinstance(prompt, list):
        return prompt
    if isinstance(prompt, str):
        return prompt.split()
    return [word for message in request["messages"] for word in message["content"].split()]


def main() -> None:
    """Serve what is given on the command line."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    options = parser()
    options.add_argument("--block", type=int, default=16)
    options.add_argument("--capacity", type=int)
    options.add_argument("--context", type=int)
    options.add_argument("--refuse-after-reset", type=int, default=0)
    options.add_argument("--prefill-s-per-token", type=float, default=0.0)
    options.add_argument("--log")
    asyncio.run(CacheServer(options.parse_args()).serve())


if __name__ == "__main__":
    main()
