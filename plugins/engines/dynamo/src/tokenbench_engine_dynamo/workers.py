"""The workers of a pool: another engine's, wrapped, or Dynamo's simulation.

Facts: Dynamo 1.6.1, `dynamo/{vllm,sglang,trtllm}/args.py` and `dynamo/mocker` (read and run
2026-11-30).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from tokenbench.api import (
    DECODE,
    PREFILL,
    Engine,
    EngineRequest,
    FlagValue,
    FrozenMap,
    PluginContext,
    Pool,
    PortBlock,
    ProcessSpec,
    UsageError,
)

from . import runtime
from .grammar import MOCKER_GRAMMAR
from .options import MOCKER, DynamoOptions

BOOTSTRAP, EVENTS = "bootstrap", "events"
_MODES = {PREFILL: "prefill", DECODE: "decode"}


@attrs.frozen(kw_only=True)
class _Module:
    """Dynamo's worker for an engine. `model`: its flag for the weights. `renamed`: its names of
    flags of the engine. `flags`: what it has to be told besides. `block_size`: its flag for the
    size of a block, where the engine's settings do not tell it.

    `publishing`: it takes vLLM's flag to publish which blocks its cache holds, with these values
    besides those that all take; `switch`: it has a switch for that. `method`: how its process names
    the method of speculation. `every_host`: of a replica that spans hosts, each host registers with
    the frontend; otherwise the first.
    """

    name: str
    model: str
    method: Callable[[ProcessSpec], str | None]
    renamed: FrozenMap[str] = FrozenMap()
    flags: FrozenMap[FlagValue] = FrozenMap()
    block_size: str | None = None
    publishing: FrozenMap[Any] | None = None
    switch: str | None = None
    every_host: bool = False


def _of_vllm(process: ProcessSpec) -> str:
    config = process.flags.get("--speculative-config")
    return str(config["method"]) if isinstance(config, FrozenMap) else "none"


# The methods of SGLang's --speculative-algorithm (0.5.21 and 0.5.23), as the options call them.
_ALGORITHMS = {"NGRAM": "ngram", "STANDALONE": "draft", "NEXTN": "mtp"}


def _of_sglang(process: ProcessSpec) -> str:
    named = str(process.flags.get("--speculative-algorithm") or "none")
    return _ALGORITHMS.get(named.upper(), named.lower())


# Values of decoding_type in TensorRT-LLM's options file.
_DECODING = {"MTP": "mtp", "Eagle3": "eagle3", "Draft_Target": "draft", "NGram": "ngram"}


def _of_trtllm(process: ProcessSpec) -> str | None:
    for file in process.files:
        config = None if isinstance(file.content, str) else file.content.get("speculative_config")
        if isinstance(config, FrozenMap):
            return _DECODING.get(str(config.get("decoding_type")))
    return "none"


# Core decides which can be used: it knows whether the engine's plugin is installed.
_MODULES = {
    "vllm": _Module(
        name="dynamo.vllm",
        model="--model",
        method=_of_vllm,
        publishing=FrozenMap({"enable_kv_cache_events": True}),
        every_host=True,
    ),
    # It accepts all flags of SGLang's server (args.py), with `agg` for SGLang's `null`.
    "sglang": _Module(
        name="dynamo.sglang", model="--model-path", method=_of_sglang, publishing=FrozenMap()
    ),
    "trtllm": _Module(
        name="dynamo.trtllm",
        model="--model",
        method=_of_trtllm,
        # A file of LlmArgs, like trtllm-serve's. It overrides all flags.
        renamed=FrozenMap({"--config": "--extra-engine-args"}),
        # The engine's own counters on the worker's page.
        flags=FrozenMap({"--publish-metrics": True}),
        block_size="--kv-block-size",
        switch="--publish-kv-events",
    ),
}


class Workers:
    """Plans workers. Core provides the wrapped engine with the options of its pool."""

    def __init__(self, options: DynamoOptions, context: PluginContext, python: str) -> None:
        self._options = options
        self._context = context
        self._python = python

    def engine_name(self, pool: Pool | None = None) -> str:
        """The engine of a pool's workers. Without `pool`: of pools that name none."""
        return self._options.worker if pool is None or pool.engine is None else pool.engine

    def engine(self, pool: Pool | None = None) -> Engine | None:
        """The wrapped engine; None for the simulation.

        Raises:
            UsageError: no such engine is installed, or Dynamo has no workers of it.
        """
        name = self.engine_name(pool)
        if name == MOCKER:
            return None
        own = pool is not None and pool.engine is not None
        given: Mapping[str, Any] = (
            pool.engine_options if own and pool is not None else self._options.worker_values()
        )
        values: dict[str, Any] = {"python": self._python}
        if self._options.block_size is not None:
            values["block_size"] = self._options.block_size
        engine = self._context.engine(name, FrozenMap({**values, **given}))
        if name not in _MODULES:
            raise UsageError(
                f"Dynamo has no workers of the engine {name!r}",
                hint=f"it has workers of {', '.join(_MODULES)}, and {MOCKER}",
            )
        return engine

    def reader(self, name: str | None) -> Engine | None:
        """The engine that reads metrics pages of workers; None for the simulation.

        Args:
            name: the engine that their pool names, if it names one.
        """
        if name is None or name == self._options.worker:
            return self.engine()
        if name == MOCKER:
            return None
        return self._context.engine(name, FrozenMap({"python": self._python}))

    def check_pools(self, pools: Sequence[Pool]) -> None:
        """Check that both pools use one KV-cache format, and that every option has an effect.

        Raises:
            UsageError: they do not.
        """
        engines = {self.engine_name(pool): pool.role for pool in pools if pool.role in _MODES}
        if len(engines) > 1:
            raise UsageError(
                f"the pools for prefill and decode have different engines ({', '.join(engines)}): "
                "engines cannot read each other's KV cache",
                hint="use one engine for all pools",
            )
        if self._options.worker_options and all(pool.engine is not None for pool in pools):
            raise UsageError(
                "worker_options has no effect: every pool names its engine",
                hint="remove it, or move the options to the pools",
            )

    @property
    def every_host(self) -> bool:
        """Whether each host of a worker registers with the frontend. Decided by the engine of pools
        that name none.
        """
        module = _MODULES.get(self.engine_name())
        return module is None or module.every_host

    def is_wrapped(self, name: str) -> bool:
        """Whether the pool's workers wrap an engine, and are not the mocker."""
        return name != MOCKER

    def speculation(self, process: ProcessSpec, pool: Pool) -> str | None:
        """The workers' method of speculative decoding; None if their flags do not tell."""
        name = self.engine_name(pool)
        if name == MOCKER:
            return "none"
        return _MODULES[name].method(process)

    def process(self, request: EngineRequest, pool: Pool) -> ProcessSpec:
        """The process of a pool: one worker for each replica."""
        engine = self.engine(pool)
        if engine is None:
            process = self._mocker(request, pool)
        else:
            process = self._wrapped(engine, request, pool)
        common = {
            "--disaggregation-mode": _MODES.get(pool.role, "agg"),
            **runtime.flags(self._options),
        }
        environment = {
            **runtime.environment(self._options, request.weights),
            **runtime.system_environment(),
        }
        return attrs.evolve(
            process,
            flags=FrozenMap({**process.flags, **common}),
            environment=FrozenMap({**process.environment, **environment}),
            ports=(runtime.SYSTEM_PORT, *process.ports),
            after=runtime.after(self._options),
        )

    def _wrapped(self, engine: Engine, request: EngineRequest, pool: Pool) -> ProcessSpec:
        module = _MODULES[self.engine_name(pool)]
        process = engine.worker(request, pool.key)
        if process.ranks > 1 and module.every_host != self.every_host:
            # The frontend's list does not distinguish engines.
            raise UsageError(
                f"the pool {pool.key!r} spans {process.ranks} hosts, but its engine registers "
                "with Dynamo's frontend in another way than that of the other pools",
                hint=f"use it for all pools: dynamo:worker={self.engine_name(pool)}",
            )
        flags: dict[str, FlagValue] = {
            "--served-model-name": request.served_name,
            **{module.renamed.get(name, name): value for name, value in process.flags.items()},
            **module.flags,
        }
        if module.block_size is not None and self._options.block_size is not None:
            flags[module.block_size] = self._options.block_size
        ports = process.ports
        if self._routes_by_cache(request) and pool.role != DECODE:
            if module.switch is not None:
                flags[module.switch] = True
            if module.publishing is not None:
                flags["--kv-events-config"] = _events(module.publishing)
                # Data-parallel rank N publishes on the first port + N.
                ports = (*ports, PortBlock(name=EVENTS, count=_data_parallel(pool)))
        return attrs.evolve(
            process,
            argv=(self._python, "-m", module.name, module.model, "{weights}"),
            flags=FrozenMap(flags),
            ports=ports,
        )

    def _mocker(self, request: EngineRequest, pool: Pool) -> ProcessSpec:
        if pool.topology.accelerators > pool.topology.dp:
            raise UsageError(
                f"the mocker does not support {pool.topology.label}: it only simulates dp",
                hint="use dp alone, or another worker",
            )
        options, prefill = self._options, pool.role == PREFILL
        flags: dict[str, FlagValue] = {
            "--model-path": "{weights}",
            "--model-name": request.served_name,
            "--block-size": options.block_size,
            "--max-model-len": request.needs.context_tokens,
            "--max-num-seqs": request.needs.concurrency,
            "--data-parallel-size": pool.topology.dp if pool.topology.dp > 1 else None,
            "--enable-prefix-caching": request.needs.prefix_caching,
            "--speedup-ratio": options.speedup,
            "--startup-time": options.startup_s,
            "--bootstrap-ports": f"{{port:{BOOTSTRAP}}}" if prefill else None,
        }
        return ProcessSpec(
            role=pool.key,
            argv=(self._python, "-m", "dynamo.mocker"),
            flags=FrozenMap(flags),
            grammar=MOCKER_GRAMMAR,
            ports=(BOOTSTRAP,) if prefill else (),
            replicas=pool.replicas,
        )

    def _routes_by_cache(self, request: EngineRequest) -> bool:
        return self._options.router_mode == "kv" and request.needs.prefix_caching


def _events(more: FrozenMap[Any]) -> FrozenMap[Any]:
    return FrozenMap(
        {
            "publisher": "zmq",
            "topic": "kv-events",
            # vLLM and SGLang connect to an address, but listen on `*`.
            "endpoint": f"tcp://*:{{port:{EVENTS}}}",
            **more,
        }
    )


def _data_parallel(pool: Pool) -> int:
    return max(pool.topology.dp, pool.topology.attention_dp)
