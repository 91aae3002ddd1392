"""Speculative decoding: SGLang's flags for it, and simulated acceptance.

Facts: SGLang 0.5.23, `arg_groups/speculative_hook.py`, `speculative/spec_utils.py`.
"""

from __future__ import annotations

from tokenbench.api import EngineRequest, FlagValue, LaunchPlan, UsageError, drafting_weights

from .options import SglangOptions

_SYNTHETIC = "SGLANG_SIMULATE_ACC_LEN"
# NEXTN is EAGLE with the model's own MTP heads, which SGLang then finds itself.
_ALGORITHMS = {
    "ngram": "NGRAM",
    "draft": "STANDALONE",
    "eagle": "EAGLE",
    "eagle3": "EAGLE3",
    "mtp": "NEXTN",
}


def speculation_flags(request: EngineRequest, options: SglangOptions) -> dict[str, FlagValue]:
    """The flags; none without speculation.

    Raises:
        UsageError: the method needs weights that neither the user nor the model names.
    """
    method, tokens = options.speculation, options.speculative_tokens
    if method == "none" or tokens is None:
        return {}
    if method == "draft" and any(pool.topology.attention_dp > 1 for pool in request.layout.pools):
        raise UsageError(
            "speculation=draft: SGLang does not combine a draft model with attention DP",
            hint="use speculation=eagle, eagle3 or mtp",
        )
    # A step also verifies the target model's last token.
    verified = options.speculative_tree_tokens or tokens + 1
    flags: dict[str, FlagValue] = {
        "--speculative-algorithm": _ALGORITHMS[method],
        "--speculative-draft-model-path": drafting_model(request, options),
        "--speculative-num-draft-tokens": verified,
    }
    if method == "ngram":
        return {**flags, "--speculative-ngram-max-bfs-breadth": options.speculative_topk}
    return {
        **flags,
        "--speculative-num-steps": tokens,
        "--speculative-eagle-topk": options.speculative_topk,
    }


def drafting_model(request: EngineRequest, options: SglangOptions) -> str | None:
    """The weights for drafting, as a symbol, a folder or a hub name."""
    return drafting_weights(request, options.speculation, options.speculative_model)


def environment_of_drafts(request: EngineRequest, options: SglangOptions) -> dict[str, str]:
    """The variable that simulates acceptance; none if the answers must be the model's."""
    length = options.synthetic_acceptance_length
    if length is None or request.needs.real_acceptance:
        return {}
    return {_SYNTHETIC: f"{length:g}"}


def is_synthetic(plan: LaunchPlan) -> bool:
    """Whether a plan, with the variables of all layers, simulates the acceptance of drafts: the
    variable is above 0.
    """
    return any(_positive(process.environment.get(_SYNTHETIC)) for process in plan.processes)


def _positive(text: str | None) -> bool:
    try:
        return text is not None and float(text) > 0
    except ValueError:
        return False
