"""Speculative decoding: what drafts tokens, and whether the options for it fit together. For engine
plugins.
"""

from __future__ import annotations

from typing import Any

from .engine import EngineRequest
from .errors import UsageError

# Purposes of the weights that a method of speculation drafts with.
_PURPOSES = {"draft": ("draft",), "eagle": ("eagle",), "eagle3": ("eagle",), "mtp": ("mtp",)}


def check_drafts(made: Any) -> None:
    """Check the options `speculation`, `speculative_tokens` and, if the engine has it,
    `synthetic_acceptance_length`, the tokens that a step gives on average.

    Raises:
        ValueError: `speculative_tokens` is missing, or too small for the acceptance length.
    """
    tokens = made.speculative_tokens
    if made.speculation == "none":
        return
    if tokens is None:
        raise ValueError(f"speculation={made.speculation} needs speculative_tokens=N")
    length = getattr(made, "synthetic_acceptance_length", None)
    if length is not None and length > tokens + 1:
        raise ValueError(
            f"synthetic_acceptance_length: expected at most {tokens + 1} (speculative_tokens + 1), "
            f"got {length:g}"
        )


def drafting_weights(request: EngineRequest, method: str, named: str | None = None) -> str | None:
    """The weights for drafting: a symbol for the model's, or the user's folder or hub name. None if
    the method needs none (n-gram), or if they are in the main weights (MTP).

    Args:
        method: ``ngram``, ``draft``, ``eagle``, ``eagle3`` or ``mtp``.
        named: what the user asks for: a name among the model's extra weights, a folder, a hub name.

    Raises:
        UsageError: the method needs weights that neither the user nor the model names, or the model
            has no MTP heads.
    """
    purposes = _PURPOSES.get(method, ())
    if named is not None and not purposes:
        raise UsageError(
            f"speculative_model={named}: speculation={method} uses no weights for drafting",
            hint="leave speculative_model out, or set speculation to draft or eagle3",
        )
    if named is not None and (named in request.extra_weights or "/" not in named):
        request.weights_named(named, *purposes)
        return f"{{weights:{named}}}"
    if named is not None:
        return named
    found = [name for name, one in request.extra_weights.items() if one.purpose in purposes]
    if len(found) == 1:
        return f"{{weights:{found[0]}}}"
    if method == "mtp":
        _check_mtp(request)
    elif purposes:
        raise UsageError(
            f"speculation={method} needs weights for drafting: {request.model} has "
            f"{'several' if found else 'none'}",
            hint=f"name them: speculative_model={' or '.join(found) or 'FOLDER or ORG/NAME'}",
        )
    return None


def _check_mtp(request: EngineRequest) -> None:
    shape = request.architecture
    if shape.layers is not None and not shape.mtp_heads:
        raise UsageError(
            f"speculation=mtp: the facts of {request.model} name no MTP heads",
            hint="use another method (ngram, draft, eagle, eagle3), or name the weights that have "
            "them: speculative_model=FOLDER",
        )
