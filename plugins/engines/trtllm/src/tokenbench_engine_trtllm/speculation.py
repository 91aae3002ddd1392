"""Speculative decoding: the value of ``speculative_config``.

Names: `llm_args.py`, the classes of `SpeculativeConfig` (surface.json has version and date).
"""

from __future__ import annotations

from typing import Any

from tokenbench.api import EngineRequest, FrozenMap, drafting_weights

from .options import TrtllmOptions

_TYPES = {"ngram": "NGram", "draft": "Draft_Target", "eagle3": "Eagle3", "mtp": "MTP"}


def speculative_config(request: EngineRequest, options: TrtllmOptions) -> FrozenMap[Any] | None:
    """The configuration; None without speculation.

    Raises:
        UsageError: the method needs weights that neither the user nor the model names.
    """
    method = options.speculation
    if method == "none":
        return None
    config: dict[str, Any] = {
        "decoding_type": _TYPES[method],
        # For MTP, InferenceX's recipes for 1.3.0rc14 use its older name num_nextn_predict_layers.
        "max_draft_len": options.speculative_tokens,
    }
    model = drafting_weights(request, method, options.speculative_model)
    if model is not None:
        config["speculative_model"] = model
    if method == "ngram":
        config["max_matching_ngram_size"] = options.ngram_max
    return FrozenMap(config)
