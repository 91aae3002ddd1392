"""The engine `transformers`. Facts: ``transformers serve`` 5.23.0, its source and its server on
CPU, read and run 2026-12-01.
"""

from __future__ import annotations

import math
from pathlib import Path

from tokenbench.api import (
    CHAT,
    COMPLETIONS,
    Dialect,
    EngineRequest,
    FlagGrammar,
    FlagValue,
    FrozenMap,
    LaunchPlan,
    LogMessages,
    ProcessSpec,
    ServerClient,
    ServerEngine,
    UsageError,
    Weights,
    check_memory,
    check_one_server,
    check_stages,
    hosts_needed,
    option_flags,
    refuse_unused,
    required_context,
)

from .options import TransformersOptions

_PACKAGE = "tokenbench_engine_transformers"
_CPU = "cpu"
# ContinuousBatchingConfig.page_size (generation/configuration_utils.py).
_BLOCK = 256
# Enough for the readiness check and a short eval.
_LEAST_CONTEXT = 512
# No token has this id, so no token ends an answer. The server expects text.
_NO_END = '{"eos_token_id": -1}'


class Transformers(ServerEngine[TransformersOptions]):
    """One server with one model."""

    name = distribution = "transformers"
    metrics_path = None
    messages = LogMessages(_PACKAGE)

    def plan(self, request: EngineRequest) -> LaunchPlan:
        """One process. The server loads its model before it listens, and serves no other."""
        _check(request, self.options)
        (pool,) = request.layout.pools
        on_cpu = request.hardware.kind == _CPU
        server = ProcessSpec(
            role=pool.key,
            argv=(
                *(self.python, "-m", "transformers.cli.transformers", "serve"),
                f"{{weights}}{_revision(request.weights)}",
            ),
            flags=FrozenMap(
                {
                    "--host": "{host}",
                    "--port": "{port:http}",
                    **self._flags(request, on_cpu=on_cpu),
                }
            ),
            grammar=FlagGrammar.of_package(_PACKAGE),
            environment=FrozenMap(self._environment(request, on_cpu=on_cpu)),
            accelerators=0 if on_cpu else pool.topology.accelerators,
            ready="http://{host}:{port:http}/health",
        )
        return LaunchPlan(
            processes=(server,),
            endpoints=self.endpoints(request.layout),
            start_timeout_s=self.options.start_timeout_s,
            served_name=_served_name(request.weights),
            speculation="none",
        )

    def _flags(self, request: EngineRequest, *, on_cpu: bool) -> dict[str, FlagValue]:
        options = self.options
        flags = {"--device": _CPU if on_cpu else "auto", **option_flags(options)}
        asked = options.kv_cache_blocks or options.kv_cache_memory_share
        if options.continuous_batching and on_cpu and asked is None:
            flags["--cb-num-blocks"] = _blocks(request, options.block_size or _BLOCK)
        return flags

    def _environment(self, request: EngineRequest, *, on_cpu: bool) -> dict[str, str]:
        found = {
            # Without it, the command first asks PyPI for newer versions, which can take minutes.
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            # No file of the current folder can shadow a module.
            "PYTHONSAFEPATH": "1",
        }
        if request.weights is not None and not request.weights.on_hub:
            found["HF_HUB_OFFLINE"] = "1"
        if on_cpu and self.options.cpu_threads is not None:
            found["OMP_NUM_THREADS"] = str(self.options.cpu_threads)
        return found

    def dialect(self, request: EngineRequest) -> Dialect:
        """Text prompts only. Usage comes at the end of every stream, and no ``[DONE]``."""
        return Dialect(
            codecs=(COMPLETIONS, CHAT),
            seed=True,
            exact_body=FrozenMap({"generation_config": _NO_END}),
        )

    def version(self, server: ServerClient) -> str | None:
        """The planned version, if it runs on this machine: the server reports none."""
        return self.planned_version() if server.endpoints[0].here else None


def _check(request: EngineRequest, options: TransformersOptions) -> None:
    hint = "use one replica; with continuous_batching=true it serves requests together"
    check_one_server(request.layout, "transformers", hint=hint)
    pp = request.layout.pools[0].topology.pp
    if pp > 1 and request.hardware.kind == _CPU:
        raise UsageError(
            f"pp={pp}: pp spreads layers over accelerators, and a CPU is one device",
            hint="remove pp",
        )
    _check_devices(request, options, pp)
    required_context(request)
    if options.continuous_batching and not request.needs.prefix_caching:
        raise UsageError(
            "continuous_batching caches prefixes, and `transformers serve` 5.23.0 cannot switch "
            "that off",
            hint="set load.prefix_caching: true (--prefix-caching), or remove continuous_batching",
        )


def _check_devices(request: EngineRequest, options: TransformersOptions, pp: int) -> None:
    """Check that `device` is the planned hardware and that the model fits on it.

    Raises:
        UsageError: it is not, or does not fit.
    """
    kind, chip, device = request.hardware.kind, request.hardware.chip, options.device
    if device is not None and (device.partition(":")[0] == _CPU) != (kind == _CPU):
        raise UsageError(
            f"device={device}: the deployment is planned for {request.hardware.sku or kind}",
            hint="remove device, or set the hardware to run on",
        )
    if device not in (None, "auto") and pp > 1:
        raise UsageError(
            f"device={device}: pp={pp} spreads layers over all accelerators",
            hint="remove device or pp",
        )
    if kind != _CPU:
        refuse_unused(options, "cpu_threads", because="this deployment does not run on CPUs")
    hosts_needed(pp, chip, most=1, why="it is one process", hint="use pp={here} or less")
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
    """The name in requests: the value of ``{weights}``. A server with a fixed model refuses other
    names.
    """
    if weights is None:
        return None
    scheme, _, rest = weights.source.partition(":")
    if scheme == "hub":
        return rest + _revision(weights)
    if "@" in rest:
        raise UsageError(
            f"transformers reads the part after the @ in {rest} as a revision",
            hint="move the model to a folder whose path has no @",
        )
    return str(Path(rest).expanduser())


def _revision(weights: Weights | None) -> str:
    revision = None if weights is None else weights.hub_revision
    return "" if revision is None else f"@{revision}"


def _blocks(request: EngineRequest, size: int) -> int | None:
    """Blocks for a full batch. By default the cache takes most of the host's memory."""
    context = request.needs.context_tokens
    if context is None:
        return None
    each = math.ceil(max(context, _LEAST_CONTEXT) / size) + 1
    return each * request.needs.concurrency
