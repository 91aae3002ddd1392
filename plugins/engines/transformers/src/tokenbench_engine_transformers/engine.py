"""The engine `transformers`. Facts: ``transformers serve`` 5.23.0, its source and its server on
CPU, read and run 2026-12-01.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    Dialect,
    EndpointSpec,
    Engine,
    EngineRequest,
    FlagValue,
    FrozenMap,
    LaunchPlan,
    LogMessages,
    ProcessSpec,
    ServerClient,
    UsageError,
    Weights,
    check_memory,
    check_stages,
    installed_version,
)

from .grammar import grammar

if TYPE_CHECKING:
    from .options import TransformersOptions

_CPU = "cpu"
# ContinuousBatchingConfig.page_size (generation/configuration_utils.py).
_BLOCK = 256
# Enough for the readiness check and a short eval.
_LEAST_CONTEXT = 512
# No token has this id, so that no token ends an answer. The server takes it as a text.
_NO_END = '{"eos_token_id": -1}'


class Transformers(Engine):
    """One server with one model."""

    messages = LogMessages("tokenbench_engine_transformers")

    def __init__(self, options: TransformersOptions) -> None:
        self._options = options

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """One process. The server loads its model before it listens, and takes no other one."""
        _check(request, self._options)
        (pool,) = request.layout.pools
        on_cpu = request.hardware.kind == _CPU
        flags = {
            "--host": "{host}",
            "--port": "{port:http}",
            **self._model_flags(on_cpu=on_cpu),
            **self._batching_flags(request, on_cpu=on_cpu),
        }
        server = ProcessSpec(
            role=pool.key,
            argv=(
                *(self._python, "-m", "transformers.cli.transformers", "serve"),
                f"{{weights}}{_revision(request.weights)}",
            ),
            flags=FrozenMap({name: value for name, value in flags.items() if value is not None}),
            grammar=grammar(),
            environment=FrozenMap(self._environment(request, on_cpu=on_cpu)),
            accelerators=0 if on_cpu else pool.topology.accelerators,
            ready="http://{host}:{port:http}/health",
        )
        return LaunchPlan(
            processes=(server,),
            endpoints=(
                EndpointSpec(
                    role=pool.key,
                    url=f"http://{{{pool.key}.0.host}}:{{{pool.key}.0.port:http}}",
                    metrics_path=None,
                ),
            ),
            start_timeout_s=self._options.start_timeout_s,
            served_name=_served_name(request.weights),
            speculation="none",
        )

    @property
    def _python(self) -> str:
        """The interpreter, wherever the process will run; symbolic links of an environment stay."""
        named = self._options.python
        if named is None:
            return sys.executable
        return str(Path(named).expanduser().absolute()) if "/" in named else named

    def _model_flags(self, *, on_cpu: bool) -> dict[str, FlagValue]:
        options = self._options
        return {
            "--device": options.device or (_CPU if on_cpu else "auto"),
            "--dtype": options.dtype,
            "--quantization": options.quantization,
            "--attn-implementation": options.attention,
            "--compile": True if options.compile else None,
            "--trust-remote-code": True if options.trust_remote_code else None,
            "--reasoning": options.reasoning,
            "--chat-template-kwargs": options.chat_template_kwargs,
            "--default-seed": options.default_seed,
            "--log-level": options.log_level,
        }

    def _batching_flags(self, request: EngineRequest, *, on_cpu: bool) -> dict[str, FlagValue]:
        options = self._options
        if not options.continuous_batching:
            return {}
        blocks = options.kv_cache_blocks
        if blocks is None and on_cpu and options.kv_cache_memory_share is None:
            blocks = _blocks(request, options.block_size or _BLOCK)
        return {
            "--continuous-batching": True,
            "--cb-block-size": options.block_size,
            "--cb-num-blocks": blocks,
            "--cb-max-batch-tokens": options.max_num_batched_tokens,
            "--cb-max-memory-percent": options.kv_cache_memory_share,
            "--cb-use-cuda-graph": options.cuda_graphs,
        }

    def _environment(self, request: EngineRequest, *, on_cpu: bool) -> dict[str, str]:
        found = {
            # Otherwise the command first asks PyPI for newer versions, for minutes without one.
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            # A file of the current folder replaces no module.
            "PYTHONSAFEPATH": "1",
        }
        if request.weights is not None and not _on_hub(request.weights):
            found["HF_HUB_OFFLINE"] = "1"
        if on_cpu and self._options.cpu_threads is not None:
            found["OMP_NUM_THREADS"] = str(self._options.cpu_threads)
        return found

    def dialect(self, request: EngineRequest) -> Dialect:
        """Text prompts only. Usage comes at the end of every stream, and no ``[DONE]``."""
        return Dialect(
            codecs=(COMPLETIONS, CHAT),
            seed=True,
            exact_body=FrozenMap({"generation_config": _NO_END}),
        )

    def planned_version(self) -> str | None:
        """The version of transformers in the interpreter's environment."""
        version = installed_version(self._python, "transformers")
        return None if version is None else f"transformers {version}"

    def version(self, server: ServerClient) -> str | None:
        """The same: the server reports none."""
        return self.planned_version()


def _check(request: EngineRequest, options: TransformersOptions) -> None:
    if sum(pool.replicas for pool in request.layout.pools) > 1:
        raise UsageError(
            "several replicas of transformers need a router in front of them",
            hint="use one replica; with continuous_batching=true it serves requests together",
        )
    pp = request.layout.pools[0].topology.pp
    if pp > 1 and request.hardware.kind == _CPU:
        raise UsageError(
            f"pp={pp}: layers are spread over accelerators, and a CPU is one device",
            hint="leave pp out",
        )
    _check_devices(request, options, pp)
    needs, limit = request.needs, request.architecture.context_tokens
    if needs.context_tokens is not None and limit is not None and needs.context_tokens > limit:
        raise UsageError(
            f"a context of {needs.context_tokens} tokens is required, {request.model} supports "
            f"{limit}",
            hint="use shorter prompts or outputs",
        )
    if options.continuous_batching and not needs.prefix_caching:
        raise UsageError(
            "continuous_batching: it shares blocks of equal prompts, and `transformers serve` "
            "5.23.0 has no flag that switches this off",
            hint="measure it with load.prefix_caching: true (--prefix-caching), or leave out "
            "continuous_batching",
        )


def _check_devices(request: EngineRequest, options: TransformersOptions, pp: int) -> None:
    """The server computes on what is planned, which holds the model.

    Raises:
        UsageError: it would not.
    """
    kind, chip, device = request.hardware.kind, request.hardware.chip, options.device
    if device is not None and (device.partition(":")[0] == _CPU) != (kind == _CPU):
        raise UsageError(
            f"device={device}: the deployment is planned for {request.hardware.sku or kind}",
            hint="leave device out, or name the hardware on which it is to run",
        )
    if device not in (None, "auto") and pp > 1:
        raise UsageError(
            f"device={device}: pp={pp} spreads layers over all accelerators",
            hint="leave out device or pp",
        )
    if options.cpu_threads is not None and kind != _CPU:
        raise UsageError(
            "cpu_threads: this deployment does not run on CPUs, so nothing would use it",
            hint="leave it out",
        )
    here = None if chip is None else chip.accelerators_per_host
    if here is not None and pp > here:
        raise UsageError(
            f"pp={pp}: it is one process, and a host with {request.hardware.sku} has {here}",
            hint=f"use pp={here} or less",
        )
    check_stages(request.architecture, request.model, pp=pp)
    if options.quantization is None:
        check_memory(
            request,
            ranks=pp,
            replicated=1,
            share=1.0,
            context=request.needs.context_tokens,
            kv_dtype=None,
        )


def _served_name(weights: Weights | None) -> str | None:
    """What ``{weights}`` becomes: a server that is pinned to a model refuses requests that name
    it otherwise.
    """
    if weights is None:
        return None
    scheme, _, rest = weights.source.partition(":")
    if scheme == "hub":
        return rest + _revision(weights)
    if "@" in rest:
        raise UsageError(
            f"transformers takes what stands behind the @ in {rest} for a revision",
            hint="move the model to a folder whose path has no @",
        )
    return str(Path(rest).expanduser())


def _revision(weights: Weights | None) -> str:
    if weights is None or weights.revision is None or not _on_hub(weights):
        return ""
    return f"@{weights.revision}"


def _on_hub(weights: Weights) -> bool:
    return weights.source.startswith("hub:")


def _blocks(request: EngineRequest, size: int) -> int | None:
    """Blocks for a full batch: otherwise the cache takes most of the host's memory."""
    context = request.needs.context_tokens
    if context is None:
        return None
    each = math.ceil(max(context, _LEAST_CONTEXT) / size) + 1
    return each * request.needs.concurrency
