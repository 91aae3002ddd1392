"""What vLLM's log says, by logs of real starts: see captured/README.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from tokenbench.api import LogMessages

_MESSAGES = LogMessages("tokenbench_engine_vllm")

CAPTURED = Path(__file__).parent / "captured"
# File: the cause, and a part of the hint.
CAUSES = {
    "bad-flag": (
        "this version of vLLM does not know the arguments --no-such-flag 1",
        "--help=all",
    ),
    "bad-value": (
        (
            "vLLM refuses the value of --dtype: invalid choice: 'float12' (choose from 'auto', "
            "'bfloat16', 'float', 'float16', 'float32', 'half')"
        ),
        "change it",
    ),
    "no-folder": ("the model's folder /models/absent does not exist", "check the path"),
    "hub-offline": (
        (
            "the model nobody/no-such-model is not in the Hugging Face cache, and downloads are "
            "switched off"
        ),
        "HF_HUB_OFFLINE",
    ),
    "empty-folder": (
        "/models/empty holds no model: neither config.json nor params.json is there",
        "download complete",
    ),
    "wrong-python": (
        "vLLM is not installed for the interpreter /usr/bin/python3",
        "vllm:python=PATH",
    ),
    "beyond-context": (
        "a context of 100000 tokens is requested, but the model has 4096",
        "--max-model-len",
    ),
    "port-taken": ("the port 18790 is already in use", "ss -ltnp"),
    "kv-memory": (
        "a KV cache of 1000.0 GiB is requested, but 17.48 of 23.54 GiB of memory are free",
        "VLLM_CPU_KVCACHE_SPACE",
    ),
    "kv-context": (
        "one request of 3000000 tokens needs 2.86 GiB of KV cache, and 1.0 GiB are available",
        "at most 1048448",
    ),
    "no-quantisation": (
        "the model /models/tiny is not quantised with awq: it has no configuration for it",
        "--quantization",
    ),
    "unknown-quantisation": ("vLLM does not know the quantisation 'nosuch'", "'awq'"),
    "architecture": (
        "this version of vLLM does not support the architecture 'NoSuchForCausalLM'",
        "newer version",
    ),
    "model-type": (
        "the model type 'no_such_model' is unknown to this version of vLLM and transformers",
        "--trust-remote-code",
    ),
    "no-weights": ("there are no weights in /models/noweights", "download complete"),
    "truncated-weights": (
        (
            "a file of the weights of /models/truncated is damaged: Error while deserializing "
            "header: incomplete metadata, file not fully covered"
        ),
        "download it again",
    ),
    "wrong-shape": (
        (
            "the weights of /models/wrongshape do not fit its config.json: a size is 64 in one and "
            "128 in the other"
        ),
        "same model",
    ),
    "tp-heads": (
        "the model's 4 attention heads cannot be divided by tp=3",
        "choose a tp",
    ),
    "no-compiler-switch": (
        "vLLM needs torch.compile, which the environment switches off",
        "TORCHDYNAMO_DISABLE",
    ),
    "address-space": (
        "the host is out of memory, or a memory limit is reached (`ulimit -v`, or the container's)",
        "raise the limit",
    ),
    "memory-limit": ("a worker process of vLLM was killed", "out of memory"),
    "worker-killed": ("a worker process of vLLM was killed", "out of memory"),
    **dict.fromkeys(
        ("engine-killed", "engine-killed-loading"),
        (
            "the engine process of vLLM was killed, and the API server ended with it",
            "out of memory",
        ),
    ),
}
# Of failures that need a GPU, the message as the source of vLLM 0.32.0 writes it (messages.toml
# says where), with values of our own.
WRITTEN = {
    "ValueError: Free memory on device cuda:0 (10.5/79.1 GiB) on startup is less than desired GPU "
    "memory utilization (0.92, 72.77 GiB). Decrease GPU memory utilization or reduce GPU memory "
    "used by other processes.": (
        "vLLM needs 72.77 GiB of the device's memory (utilization 0.92), but 10.5 of 79.1 GiB "
        "are free"
    ),
    "ValueError: No available memory for the cache blocks. Try increasing": (
        "the weights leave no memory for the KV cache"
    ),
    "RuntimeError: CUDA out of memory occurred when warming up sampler with 256 dummy requests. "
    "Please": "the device has too little memory for 256 concurrent requests",
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has": (
        "the accelerator is out of memory: could not allocate 2.00 GiB"
    ),
    "ValueError: The quantization method fp8 is not supported for the current GPU. Minimum "
    "capability: 89. Current capability: 80.": (
        "the quantisation fp8 needs a GPU of compute capability 89, this one has 80"
    ),
    "ValueError: gptq quantization is currently not supported in tpu.": (
        "the quantisation gptq is not supported on tpu"
    ),
    "ValueError: torch.float16 is not supported for quantization method fp8. Supported dtypes: "
    "[torch.bfloat16]": "the quantisation fp8 does not work with the data type torch.float16",
}


def _log(name: str) -> str:
    return (CAPTURED / f"{name}.log").read_text()


@pytest.mark.parametrize("name", CAUSES)
def test_the_cause_of_a_real_failure(name: str) -> None:
    """In one sentence, with the value or file that is wrong, and what to do."""
    found = _MESSAGES.diagnose(_log(name))
    assert found is not None
    cause, hint = CAUSES[name]
    assert found.cause == cause
    assert found.hint is not None and hint in found.hint


def test_every_captured_failure_has_a_cause_here() -> None:
    """A log without an expected cause shows nothing."""
    failures = {file.stem for file in CAPTURED.glob("*.log")} - {
        "started-eager",
        "started-compiled",
    }
    assert failures == set(CAUSES)
    readme = (CAPTURED / "README.md").read_text()
    assert [name for name in failures if name not in readme] == []


@pytest.mark.parametrize("message", WRITTEN, ids=lambda m: m.split(":")[1][:20])
def test_messages_that_need_a_gpu(message: str) -> None:
    """As a worker logs them."""
    prefix = "(Worker pid=7) ERROR 11-30 19:28:29 [multiproc_executor.py:1063] "
    found = _MESSAGES.diagnose(f"{prefix}{message}\n")
    assert found is not None and found.cause == WRITTEN[message]
    assert found.hint


def test_an_unknown_failure_is_the_first_exception() -> None:
    """Not those of the processes above, which repeat it; then the log names nothing."""
    log = _log("wrong-shape").replace("The size of tensor a", "The colour of tensor a")
    found = _MESSAGES.diagnose(log)
    assert found is not None
    assert found.cause.startswith("vLLM failed with RuntimeError: The colour of tensor a (128)")
    refused = _log("tp-heads").replace("attention heads", "attention hats")
    found = _MESSAGES.diagnose(refused)
    assert found is not None
    assert found.cause == (
        "vLLM refuses its configuration: Total number of attention hats (4) must be divisible by "
        "tensor parallel size (3)."
    )


@pytest.mark.parametrize(
    "log", ["", "INFO: all is well\n", "(Worker pid=1) INFO 11-30 1:1:1 [a.py:1] x\n"]
)
def test_no_failure_no_diagnosis(log: str) -> None:
    """Nothing is guessed."""
    assert _MESSAGES.diagnose(log) is None
    assert _MESSAGES.phase(log) is None


def _phases(log: str) -> list[str]:
    """What is shown while the log grows, from its last lines as core hands them over."""
    lines = log.splitlines(keepends=True)
    shown: list[str] = []
    for end in range(1, len(lines) + 1):
        found = _MESSAGES.phase("".join(lines[max(0, end - 100) : end]))
        if found is not None and found not in shown[-1:]:
            shown.append(found)
    return shown


def test_the_phases_of_a_real_start() -> None:
    """On a CPU, without compilation; then it is ready. Nothing failed."""
    log = _log("started-eager")
    assert _phases(log) == [
        "reading the model's configuration",
        "starting the engine",
        "loading weights",
        "loading weights 0 %",
        "loading weights 100 %",
        "preparing the model",
        "making the KV cache",
        "starting the HTTP server",
    ]
    assert _MESSAGES.diagnose(log) is None


def test_a_real_start_that_compiles() -> None:
    """For three and a half minutes, on a busy machine, in which its log says nothing else."""
    log = _log("started-compiled")
    assert _phases(log) == [
        "reading the model's configuration",
        "starting the engine",
        "loading weights",
        "loading weights 0 %",
        "loading weights 100 %",
        "preparing the model",
        "compiling",
        "measuring its memory",
        "making the KV cache",
        "starting the HTTP server",
    ]
    assert _MESSAGES.diagnose(log) is None


def test_phases_that_need_a_gpu() -> None:
    """Messages as the source of vLLM 0.32.0 writes them (`compilation/backends.py`,
    `v1/worker/gpu_model_runner.py`), progress bars as tqdm does.
    """
    prefix = "(EngineCore pid=7) INFO 11-30 19:28:29 [a.py:1] "
    log = (
        "Loading safetensors checkpoint shards:   0% Completed | 0/4 [00:00<?, ?it/s]\n"
        "\rLoading safetensors checkpoint shards:  45% Completed | 2/4 [00:05<00:05, 2.5s/it]\n"
        f"{prefix}Loading weights took 10.20 seconds\n"
        f"{prefix}Dynamo bytecode transform time: 5.10 s\n"
        f"{prefix}Compiling a graph for compile range (1, 8192) takes 20.10 s\n"
        f"{prefix}GPU KV cache size: 391,200 tokens\n"
        "\rCapturing CUDA graphs (mixed prefill-decode, PIECEWISE):  33%|###   | 17/51\n"
        f"{prefix}init engine (profile, create kv cache, warmup model) took 41.2 s\n"
    )
    assert _phases(log) == [
        "loading weights 0 %",
        "loading weights 45 %",
        "preparing the model",
        "compiling",
        "making the KV cache",
        "capturing graphs 33 %",
        "starting the HTTP server",
    ]
