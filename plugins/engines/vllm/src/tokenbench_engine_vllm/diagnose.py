"""What vLLM's log says: why a start failed, and what a start does.

The messages are those of vLLM 0.32.0, from real failures (tests/captured) and, where no CPU can
show them, from its source: `v1/worker/utils.py`, `v1/core/kv_cache_utils.py`, `config/vllm.py`,
`platforms/interface.py` (read 2026-11-30).

The cause stands far above the end of the log: every process that fails repeats the failure of the
one below it, and shutdown messages follow.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import attrs

from tokenbench.api import Diagnosis

_GIB = r"([\d.]+)"
_TOO_LONG = (
    rf"max seq len \((\d+)\), \({_GIB} GiB KV cache is needed, which is larger than the available "
    rf"KV cache memory \({_GIB} GiB\)"
)
_NEEDS_CACHE = "one request of {0} tokens needs {1} GiB of KV cache, and {2} GiB are available"
_COMPLETE = "is the download complete?"


@attrs.frozen
class _Rule:
    """A message, and what it means. `cause` and `hint` are formatted with the groups of the match
    by number, and with `model` and `port`, as the log names them.
    """

    pattern: re.Pattern[str]
    cause: str
    hint: str


def _rule(pattern: str, cause: str, hint: str) -> _Rule:
    return _Rule(re.compile(pattern, re.MULTILINE), cause, hint)


# The first one that matches is the cause: precise ones before those that others cause as well.
_RULES = (
    _rule(
        r"^(\S+?): .*No module named '?vllm\b",
        "vLLM is not installed for the interpreter {0}",
        "name that of vLLM's environment: vllm:python=PATH",
    ),
    _rule(
        r"error: unrecognized arguments: (.+)",
        "this version of vLLM does not know the arguments {0}",
        "leave them out; `vllm serve --help=all` lists what it knows",
    ),
    _rule(
        r"error: argument (--\S+): (.+)",
        "vLLM refuses the value of {0}: {1}",
        "change it in the suite or in the engine's options",
    ),
    _rule(
        r"Repo id must be in the form .*?: '([~./][^']*)'",
        "the model's folder {0} does not exist",
        "check the path; it must exist on the host that runs the server",
    ),
    _rule(
        r"Invalid repository ID or local directory specified: '([^']*)'",
        "{0} holds no model: neither config.json nor params.json is there",
        f"check the path; {_COMPLETE}",
    ),
    _rule(
        r"Cannot find an appropriate cached snapshot",
        "the model {model} is not in the Hugging Face cache, and downloads are switched off",
        "download it first, or unset HF_HUB_OFFLINE",
    ),
    _rule(
        r"(?:RepositoryNotFoundError|GatedRepoError|Repository Not Found|is not a valid model "
        r"identifier|Access to model \S+ is restricted)",
        "the hub does not have the model {model}, or does not show it to this account",
        "check the name; a gated model needs a token in HF_TOKEN",
    ),
    _rule(
        r"Cannot find any model weights with `([^`]*)`",
        "there are no weights in {0}",
        _COMPLETE,
    ),
    _rule(
        r"SafetensorError: (.+)",
        "a file of the weights of {model} is damaged: {0}",
        "download it again",
    ),
    _rule(
        r"has model type `([^`]*)` but Transformers does not recognize",
        "the model type {0!r} is unknown to this version of vLLM and transformers",
        "a newer version may support it; a model with code of its own needs --trust-remote-code",
    ),
    _rule(
        r"Model architectures \[(.*?)\] are not supported",
        "this version of vLLM does not support the architecture {0}",
        "use a newer version of vLLM, or another engine",
    ),
    _rule(
        r"max_model_len \((\d+)\) is greater than the derived max_model_len \(\w+=(\d+)",
        "a context of {0} tokens is asked for, but the model has {1}",
        "use shorter prompts or outputs, or a smaller --max-model-len",
    ),
    _rule(
        r"attention heads \((\d+)\) must be divisible by tensor parallel size \((\d+)\)",
        "the model's {0} attention heads cannot be divided by tp={1}",
        "choose a tp that divides them",
    ),
    _rule(
        r"Unknown quantization method: (\S+?)\. Must be one of \[([^\]\n]*)",
        "vLLM does not know the quantisation {0!r}",
        "one of {1}",
    ),
    _rule(
        r"Cannot find the config file for (\w+)",
        "the model {model} is not quantised with {0}: it has no configuration for it",
        "leave out --quantization, or use weights in that format",
    ),
    _rule(
        r"(\S+) quantization is currently not supported in (\w+)",
        "the quantisation {0} is not supported on {1}",
        "use weights in another format",
    ),
    _rule(
        r"The quantization method (\S+) is not supported for the current GPU\. Minimum "
        r"capability: (\d+)\. Current capability: (\d+)",
        "the quantisation {0} needs a GPU of compute capability {1}, this one has {2}",
        "use weights in another format",
    ),
    _rule(
        r"(\S+) is not supported for quantization method (\S+?)\. Supported dtypes: (.*?\])",
        "the quantisation {1} does not work with the data type {0}",
        "use --dtype with one of {2}",
    ),
    _rule(
        r"Bfloat16 is only supported on GPUs with compute capability of at least ([\d.]+)",
        "this GPU has no bfloat16, which needs compute capability {0}",
        "use --dtype half",
    ),
    _rule(
        rf"Available memory on node \d+ \({_GIB}/{_GIB} GiB\) on kv cache allocation is less than "
        rf"requested memory for kv \({_GIB} GiB\)",
        "the KV cache is to have {2} GiB, but {0} of {1} GiB of memory are free",
        "choose a smaller one (VLLM_CPU_KVCACHE_SPACE, in GiB), or end other programs",
    ),
    _rule(
        rf"{_TOO_LONG}\. Based on the available memory, the estimated maximum\D+(\d+)",
        _NEEDS_CACHE,
        "use a --max-model-len of at most {3}, a larger --gpu-memory-utilization, or more "
        "accelerators",
    ),
    _rule(
        _TOO_LONG,
        _NEEDS_CACHE,
        "use a smaller --max-model-len, a larger --gpu-memory-utilization, or more accelerators",
    ),
    _rule(
        r"No available memory for the cache blocks",
        "beside the weights no memory is left for the KV cache",
        "use more accelerators, a smaller model, or a larger --gpu-memory-utilization",
    ),
    _rule(
        rf"Free memory on device (?:\S+ )?\({_GIB}/{_GIB} GiB\) on startup is less than .*? "
        rf"\({_GIB}, {_GIB} GiB\)",
        "{3} GiB of the device's memory are asked for (utilization {2}), but {0} of {1} GiB are "
        "free",
        "end what else uses the device (`nvidia-smi` names it), or use a smaller "
        "--gpu-memory-utilization",
    ),
    _rule(
        r"CUDA out of memory occurred when warming up (\w+) with (\d+) dummy requests",
        "the device's memory does not suffice for {1} requests at once",
        "use a smaller --max-num-seqs or a smaller --gpu-memory-utilization",
    ),
    _rule(
        r"(?:CUDA|HIP) out of memory\. Tried to allocate ([\d.]+ \w+)",
        "the accelerator is out of memory: no room for {0} more",
        "use more accelerators, a smaller --gpu-memory-utilization, or a smaller --max-num-seqs",
    ),
    _rule(
        r"(?:^|: )(?:MemoryError|std::bad_alloc|.*[Cc]annot allocate memory|.*can't allocate "
        r"memory.*|.*failed to map segment.*|.*Resource temporarily unavailable.*thread.*)",
        "the host is out of memory, or a limit of it is reached (`ulimit -v`, the container's)",
        "raise the limit, or use a smaller model or KV cache",
    ),
    _rule(
        r"\[Errno 98\].*?[Aa]ddress already in use",
        "the port {port} is already in use",
        "end the program that uses it (`ss -ltnp` names it), or leave out the port",
    ),
    _rule(
        r"aot_compile is not supported by the current configuration",
        "torch.compile is switched off in the environment, but vLLM is to compile the model",
        "unset TORCHDYNAMO_DISABLE, or use --enforce-eager",
    ),
    _rule(
        r"The size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\)",
        "the weights of {model} do not fit its config.json: a size is {1} in one and {0} in the "
        "other",
        "check that both are of the same model",
    ),
)
# The first failure of a process: the last line of a traceback that a logger wrote.
_RAISED = re.compile(
    r"^\(\w+ pid=\d+\) ERROR [\d-]+ [\d:]+ \[[\w.]+:\d+\] ((?:[\w.]+\.)?\w+(?:Error|Exception)): "
    r"(.+)$",
    re.MULTILINE,
)
_INVALID = re.compile(r"ValidationError: .*\n  Value error, (.+?)(?: \[type=.*)?$", re.MULTILINE)
_WORKER_DIED = re.compile(
    r"WorkerProc initialization failed due to an exception in a background process"
    r"|Worker proc (\S+) died unexpectedly \(exit code: (-?\d+)\)"
)
_CORE_DIED = re.compile(r"EngineDeadError|Engine core proc (\S+) died unexpectedly")
# Exceptions that only repeat that another process failed or was killed.
_ECHO = re.compile(r"See (?:stack trace|root cause)|Engine core initialization failed|^cancelled$")
_MODEL = re.compile(r"non-default args: .*?'model': '([^']*)'")
_PORT = re.compile(r"non-default args: .*?'port': (\d+)")
# vLLM's default.
_DEFAULT_PORT = "8000"


def diagnose(log: str) -> Diagnosis | None:
    """Why vLLM died, by the end of its log; None if the log does not say."""
    names = {"model": _named(_MODEL, log, "asked for"), "port": _named(_PORT, log, _DEFAULT_PORT)}
    for rule in _RULES:
        if (found := rule.pattern.search(log)) is not None:
            groups = [group.strip() if group else "" for group in found.groups()]
            return Diagnosis(
                cause=_short(rule.cause.format(*groups, **names)),
                hint=_short(rule.hint.format(*groups, **names)),
            )
    return _invalid(log) or _raised(log) or _died(log)


def _invalid(log: str) -> Diagnosis | None:
    """A configuration that vLLM refuses in its own words."""
    found = _INVALID.search(log)
    if found is None:
        return None
    return Diagnosis(cause=_short(f"vLLM refuses its configuration: {found[1]}"))


def _raised(log: str) -> Diagnosis | None:
    for found in _RAISED.finditer(log):
        if not _ECHO.search(found[2]):
            name = found[1].rpartition(".")[2]
            return Diagnosis(cause=_short(f"vLLM failed with {name}: {found[2]}"))
    return None


def _died(log: str) -> Diagnosis | None:
    """A process that says nothing was killed."""
    if _WORKER_DIED.search(log):
        return Diagnosis(
            cause="a worker process of vLLM was killed",
            hint="probably the host is out of memory: then `dmesg` names the process; use a "
            "smaller model or context",
        )
    if _CORE_DIED.search(log):
        return Diagnosis(
            cause="the engine process of vLLM was killed, and the API server ended with it",
            hint="probably the host is out of memory: then `dmesg` names the process",
        )
    return None


def _named(pattern: re.Pattern[str], log: str, otherwise: str) -> str:
    found = pattern.search(log)
    return otherwise if found is None else found[1]


def _short(text: str, most: int = 300) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


# -- what a start does -------------------------------------------------------------------------

_Words = Callable[[re.Match[str]], str]


def _percent(words: str) -> _Words:
    return lambda found: f"{words} {found[1]} %"


def _plain(words: str) -> _Words:
    return lambda _: words


_COMPILING = (
    r"Warming up model for the compilation|Starting torch\.compile|Dynamo bytecode transform time"
    r"|Compiling a graph for"
)
_PHASES: tuple[tuple[re.Pattern[str], _Words], ...] = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"non-default args:", _plain("reading the model's configuration")),
        (r"Initializing a V1 LLM engine", _plain("starting the engine")),
        (r"Fetching \d+ files:\s+(\d+)%", _percent("downloading weights")),
        (r"Starting to load model", _plain("loading weights")),
        (r"Loading \w+ checkpoint shards[^:\n]*:\s+(\d+)%", _percent("loading weights")),
        (r"Loading weights took", _plain("preparing the model")),
        (_COMPILING, _plain("compiling")),
        (r"Warming up done|Initial profiling/warmup run took", _plain("measuring its memory")),
        (r"KV cache size:|for KV cache on node", _plain("making the KV cache")),
        (r"Capturing CUDA graphs[^:\n]*:\s+(\d+)%", _percent("capturing graphs")),
        (r"init engine \(profile", _plain("starting the HTTP server")),
    )
)


def phase(log: str) -> str | None:
    """What a vLLM that is starting does, by the latest message that tells; None if none does."""
    latest, words = -1, None
    for pattern, phrase in _PHASES:
        for found in pattern.finditer(log):
            if found.start() > latest:
                latest, words = found.start(), phrase(found)
    return words
