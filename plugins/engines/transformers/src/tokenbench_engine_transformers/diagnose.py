"""What the log of ``transformers serve`` says: why a start failed, and what a start does.

The messages are those of transformers 5.23.0, from real failures (tests/captured) and, where no CPU
can show them, from the source of transformers and torch 2.13 (read 2026-12-01).
"""

from __future__ import annotations

import re

import attrs

from tokenbench.api import Diagnosis

_COMPLETE = "is the download complete?"


@attrs.frozen
class _Rule:
    """A message, and what it means. `cause` and `hint` are formatted with the groups of the match
    by number, and with `model`, as the log names it.
    """

    pattern: re.Pattern[str]
    cause: str
    hint: str


def _rule(pattern: str, cause: str, hint: str) -> _Rule:
    return _Rule(re.compile(pattern, re.MULTILINE), cause, hint)


# The first one that matches is the cause: precise ones before those that others cause as well.
_RULES = (
    _rule(
        r"^(\S+?): .*No module named '?transformers\b",
        "transformers is not installed for the interpreter {0}",
        "name that of its environment: transformers:python=PATH",
    ),
    _rule(
        r"Missing dependencies for serving",
        "transformers is installed without its extra `serving`",
        "pip install 'transformers[serving]'",
    ),
    _rule(
        r"^Error: No such option:? '?(-[^'\s]*[^'\s.])",
        "this version of transformers does not know the argument {0}",
        "leave it out; `transformers serve --help` lists what it knows",
    ),
    _rule(
        r"^Error: (Invalid value for '(--\S+)'|Option '(--\S+)'): (.+)",
        "transformers refuses its arguments: {0}: {3}",
        "change the value in the suite or in the engine's options",
    ),
    _rule(
        r"log_levels\[log_level\.lower\(\)\][^K]*KeyError: '(.+)'",
        "transformers knows no log level {0!r}",
        "use debug, info, warning, error or critical",
    ),
    _rule(
        r"ValueError: Unsupported (dtype|quantization method|attention implementation): '(.*?)'\. "
        r"(Must be .+)",
        "transformers knows no {0} {1!r}",
        "it says: {2}",
    ),
    _rule(
        r"No package metadata was found for bitsandbytes|requires? (?:the latest version of )?"
        r"bitsandbytes|bitsandbytes.* is not (?:installed|available)",
        "--quantization needs the package bitsandbytes, which is not installed",
        "install it beside transformers, or leave the option quantization out",
    ),
    _rule(
        r"FlashAttention\S* has been toggled on, but it cannot be used due to the following error: "
        r"(.+)",
        "the attention implementation cannot be used: {0}",
        "install it, or use attention=sdpa",
    ),
    _rule(
        r"(?:AssertionError|RuntimeError): (Torch not compiled with CUDA enabled|Found no NVIDIA "
        r"driver on your system|No CUDA GPUs are available)",
        "there is no such device for torch: {0}",
        "use device=cpu, or an environment whose torch supports the accelerator",
    ),
    _rule(
        r"Repo id must .*?: '([~./][^']*)'",
        "the model's folder {0} does not exist",
        "check the path; it must exist on the host that runs the server",
    ),
    _rule(
        r"(?:OSError|ValueError): (/\S+|\S+) does not appear to have a file named (\S+?)\.? ",
        "the folder {0} has no {1}",
        f"check the path; {_COMPLETE}",
    ),
    _rule(
        r"Unrecognized (?:model|processing class) in (\S+?)\. ",
        "{0} holds no model that transformers recognizes: its config.json is missing or names no "
        "model type",
        f"check the path; {_COMPLETE}",
    ),
    _rule(
        r"couldn't find them in the cached files|Cannot find an appropriate cached snapshot",
        "the model {model} is not in the Hugging Face cache, and the hub cannot be reached",
        "download it first, or unset HF_HUB_OFFLINE",
    ),
    _rule(
        r"RepositoryNotFoundError|GatedRepoError|is not a valid model identifier",
        "the hub does not have the model {model}, or does not show it to this account",
        "check the name; a gated model needs a token in HF_TOKEN",
    ),
    _rule(
        r"Error no file named (.+?),? found in directory (\S+?)\.?$",
        "there are no weights in {1}",
        _COMPLETE,
    ),
    _rule(
        r"SafetensorError: (.+)",
        "a file of the weights of {model} is damaged: {0}",
        "download it again",
    ),
    _rule(
        r"contains custom code which must be executed to correctly load the model",
        "the model {model} comes with code of its own",
        "read it, then allow it: transformers:trust_remote_code=true",
    ),
    _rule(
        r"has model type `([^`]*)` but Transformers does not recognize",
        "the model type {0!r} is unknown to this version of transformers",
        "a newer version may support it; a model with code of its own needs trust_remote_code=true",
    ),
    _rule(
        r"You set `ignore_mismatched_sizes` to `False`",
        "the weights of {model} do not fit its config.json: sizes differ",
        "check that both are of the same model",
    ),
    _rule(
        r"(?:CUDA|HIP) out of memory\. Tried to allocate ([\d.]+ \w+)",
        "the accelerator is out of memory: no room for {0} more",
        "use another accelerator, a smaller model, or a smaller load",
    ),
    _rule(
        r"(?:^|: )(?:MemoryError|std::bad_alloc|.*[Cc]annot allocate memory|.*can't allocate "
        r"memory.*|.*failed to map segment.*|.*Resource temporarily unavailable.*)",
        "the host is out of memory, or a limit of it is reached (`ulimit -v`, the container's)",
        "raise the limit, or use a smaller model",
    ),
    _rule(
        r"\[Errno 98\] error while attempting to bind on address \('([^']+)', (\d+)",
        "the port {1} is already in use",
        "end the program that uses it (`ss -ltnp` names it), or leave out the port",
    ),
)
_RAISED = re.compile(r"^(?:[\w.]+\.)?(\w+(?:Error|Exception)): (.+)$", re.MULTILINE)
_MODEL = re.compile(r"^\[transformers\] Loading (\S+?)(?:@\S+)?$", re.MULTILINE)


def diagnose(log: str) -> Diagnosis | None:
    """The cause of a failure; None if the log does not say."""
    loading = _MODEL.search(log)
    model = "asked for" if loading is None else loading[1]
    for rule in _RULES:
        found = rule.pattern.search(log)
        if found is not None:
            groups = [group.strip() if group else "" for group in found.groups()]
            return Diagnosis(
                cause=_short(rule.cause.format(*groups, model=model)),
                hint=_short(rule.hint.format(*groups, model=model)),
            )
    # The last one: an exception may be raised while another one is handled.
    raised = _RAISED.findall(log)
    if not raised:
        return None
    name, message = raised[-1]
    return Diagnosis(cause=_short(f"transformers failed with {name}: {message}"))


def _short(text: str, most: int = 300) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


_PHASES = (
    (re.compile(r"\[transformers\] Loading "), "reading the model's configuration"),
    (re.compile(r"Loading weights:\s+(\d+)%"), "loading weights {} %"),
    (re.compile(r"Fetching \d+ files:\s+(\d+)%"), "downloading weights {} %"),
    (re.compile(r"Started server process"), "starting the HTTP server"),
)


def phase(log: str) -> str | None:
    """What the latest message that tells something says; None if none does."""
    latest = [(match.start(), words, match) for at, words in _PHASES for match in at.finditer(log)]
    if not latest:
        return None
    _, words, match = max(latest, key=lambda one: one[0])
    return words.format(*match.groups())
