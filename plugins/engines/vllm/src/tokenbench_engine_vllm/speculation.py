"""Speculative decoding: the value of ``--speculative-config``."""

from __future__ import annotations

from typing import Any

from tokenbench.api import EngineRequest, FrozenMap, LaunchPlan, drafting_weights

from .options import VllmOptions

FLAG = "--speculative-config"
# Names of vLLM 0.32 (SpeculativeConfig.method).
_METHODS = {"draft": "draft_model"}


def speculative_config(request: EngineRequest, options: VllmOptions) -> FrozenMap[Any] | None:
    """The configuration; None without speculation.

    Raises:
        UsageError: the method needs weights that neither the user nor the model names.
    """
    method = options.speculation
    if method == "none":
        return None
    config: dict[str, Any] = {
        "method": _METHODS.get(method, method),
        "num_speculative_tokens": options.speculative_tokens,
    }
    model = drafting_weights(request, method, options.speculative_model)
    if model is not None:
        config["model"] = model
    if method == "ngram":
        config |= {"prompt_lookup_min": options.ngram_min, "prompt_lookup_max": options.ngram_max}
    if options.synthetic_acceptance_length is not None and not request.needs.real_acceptance:
        config |= {
            "rejection_sample_method": "synthetic",
            "synthetic_acceptance_length": options.synthetic_acceptance_length,
        }
    return FrozenMap(config)


def is_synthetic(plan: LaunchPlan) -> bool:
    """Whether a plan, with the flags of all layers, simulates the acceptance of drafts. The
    configuration may be one flag, or one flag per key.
    """
    return any(
        flag.startswith(FLAG) and "synthetic" in f"{flag} {value}"
        for process in plan.processes
        for flag, value in process.flags.items()
    )
