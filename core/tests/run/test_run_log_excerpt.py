# ruff: noqa: E501 - logs have long lines
"""Which lines of an engine's log are shown. The logs are written after what the engines' published
sources print, not captured.
"""

from __future__ import annotations

import pytest

from tokenbench.run.log_excerpt import LINE_CHARS, LINES, error_lines, excerpt

VLLM_MEMORY = """\
(APIServer pid=40) INFO 09-30 10:11:01 [utils.py:328] non-default args: {'model': 'm', 'enable_error_stack': True}
(EngineCore_DP0 pid=77) INFO 09-30 10:11:09 [gpu_model_runner.py:2338] Starting to load model m...
(EngineCore_DP0 pid=77) ERROR 09-30 10:11:12 [core.py:708] EngineCore failed to start.
(EngineCore_DP0 pid=77) ERROR 09-30 10:11:12 [core.py:708] Traceback (most recent call last):
(EngineCore_DP0 pid=77) ERROR 09-30 10:11:12 [core.py:708]   File "/opt/vllm/v1/engine/core.py", line 699, in run_engine_core
(EngineCore_DP0 pid=77) ERROR 09-30 10:11:12 [core.py:708]     engine_core = EngineCoreProc(*args, **kwargs)
(EngineCore_DP0 pid=77) ERROR 09-30 10:11:12 [core.py:708]                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
(EngineCore_DP0 pid=77) ERROR 09-30 10:11:12 [core.py:708] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.
(APIServer pid=40) Traceback (most recent call last):
(APIServer pid=40)   File "/usr/local/bin/vllm", line 7, in <module>
(APIServer pid=40)     sys.exit(main())
(APIServer pid=40) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
/usr/lib/python3.12/multiprocessing/resource_tracker.py:279: UserWarning: resource_tracker: There appear to be 1 leaked shared_memory objects to clean up at shutdown
  warnings.warn('resource_tracker: There appear to be %d '
"""
VLLM_CONTEXT = """\
(APIServer pid=9) INFO 09-30 10:11:01 [api_server.py:1839] vLLM API server version 0.11.0
(APIServer pid=9) Traceback (most recent call last):
(APIServer pid=9)   File "/usr/local/bin/vllm", line 7, in <module>
(APIServer pid=9) pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
(APIServer pid=9)   Value error, User-specified max_model_len (99999) is greater than the derived max_model_len
[rank0]:[W930 10:11:13.1 ProcessGroupNCCL.cpp:1538] Warning: WARNING: destroy_process_group() was not called before program exit
"""
SGLANG = """\
[2025-09-30 10:11:03] server_args=ServerArgs(model_path='m', log_level_http='error', crash_dump_folder=None)
[2025-09-30 10:11:20 TP0] Load weight end. type=LlamaForCausalLM, avail mem=2.11 GB
[2025-09-30 10:11:21 TP0] Scheduler hit an exception: Traceback (most recent call last):
  File "/sgl/srt/managers/scheduler.py", line 2920, in run_scheduler_process
    scheduler = Scheduler(
  File "/sgl/srt/model_executor/model_runner.py", line 1600, in init_memory_pool
    raise RuntimeError(
RuntimeError: Not enough memory. Please try to increase --mem-fraction-static.

[2025-09-30 10:11:21] Received sigquit from a child process. It usually means the child failed.
Killed
"""
LLAMACPP_MODEL = """\
build: 6500 (abc) with cc (Debian 12.2.0-14) for x86_64-linux-gnu
llama_model_load: error loading model: error loading model hyperparameters: key not found in model: llama.context_length
llama_model_load_from_file_impl: failed to load model
common_init_from_params: failed to load model '/m.gguf'
srv    load_model: failed to load model, '/m.gguf'
srv    operator(): operator(): cleaning up before exit...
main: exiting due to model loading error
"""
LLAMACPP_CUDA = """\
ggml_backend_cuda_buffer_type_alloc_buffer: allocating 40960.00 MiB on device 0: cudaMalloc failed: out of memory
llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache
common_init_from_params: failed to create context with model '/m.gguf'
srv    load_model: failed to load model, '/m.gguf'
main: exiting due to model loading error
"""
LLAMACPP_ASSERT = """\
srv  update_slots: all slots are idle
/src/ggml/src/ggml-cpu/ops.cpp:4602: GGML_ASSERT(i01 >= 0 && i01 < ne01) failed
[New LWP 4411]
#0  0x00007f3e in wait4 () from /lib/x86_64-linux-gnu/libc.so.6
#1  0x00007f3f in ggml_abort () from /bin/libggml-base.so
[Inferior 1 (process 4410) detached]
"""
TRTLLM = """\
[09/30/2025-10:11:12] [TRT-LLM] [I] Rank 0 is using GPU 0
[09/30/2025-10:11:20] [TRT-LLM] [E] Failed to initialize executor on rank 0: [TensorRT-LLM][ERROR] CUDA runtime error in ::cudaMalloc(ptr, n): out of memory
terminate called after throwing an instance of 'tensorrt_llm::common::TllmException'
  what():  [TensorRT-LLM][ERROR] CUDA runtime error in ::cudaMalloc(ptr, n): out of memory
[host:12345] *** Process received signal ***
[host:12345] Signal: Aborted (6)
[host:12345] [ 0] /lib/x86_64-linux-gnu/libc.so.6(+0x42520)[0x7f]
[host:12345] *** End of error message ***
--------------------------------------------------------------------------
"""
CASES = {
    "vllm memory": (
        VLLM_MEMORY,
        ("torch.OutOfMemoryError: CUDA out of memory", "RuntimeError: Engine core init"),
    ),
    "vllm context": (
        VLLM_CONTEXT,
        (
            "pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig: Value error, User-specified max_model_len (99999)",
        ),
    ),
    "sglang": (SGLANG, ("RuntimeError: Not enough memory.", "Killed")),
    "llamacpp model": (
        LLAMACPP_MODEL,
        (
            "llama_model_load: error loading model: error loading model hyperparameters: key not found",
        ),
    ),
    "llamacpp cuda": (
        LLAMACPP_CUDA,
        ("ggml_backend_cuda_buffer_type_alloc_buffer", "llama_init_from"),
    ),
    "llamacpp assert": (LLAMACPP_ASSERT, ("/src/ggml/src/ggml-cpu/ops.cpp:4602: GGML_ASSERT",)),
    "trtllm": (TRTLLM, ("Failed to initialize executor", "what():", "Signal: Aborted")),
}


@pytest.mark.parametrize("name", CASES)
def test_lines_that_name_the_error_are_found(name: str) -> None:
    """In order, without prefixes; frames, banners and warnings are left out."""
    log, expected = CASES[name]
    found = error_lines(log)
    assert len(found) <= LINES
    shown = iter(found)
    for start in expected:
        assert any(line.startswith(start) for line in shown), (start, found)
    for line in found:
        assert not line.startswith(("File ", "INFO", "[host", "#", "Traceback"))
        assert "resource_tracker" not in line
        assert "destroy_process_group" not in line


def test_the_cause_survives_any_noise_after_it() -> None:
    """However much is printed at the end."""
    log = VLLM_MEMORY + "INFO:     Shutting down\nINFO:     Waiting for error handlers\n" * 100
    assert "CUDA out of memory" in excerpt(log)


def test_ansi_codes_are_removed() -> None:
    """Colours, cursor movements and titles."""
    log = "\x1b[1;31mERROR\x1b[0m 09-30 10:11:12 [a.py:1] \x1b]0;t\x07no \x1b[4mport\x1b[0m\x1b[K\n"
    assert error_lines(log) == ("no port",)


def test_repeated_lines_of_several_ranks_count_once() -> None:
    """Each rank prints the same exception."""
    log = "".join(f"[rank{n}]: ValueError: bad heads\n" for n in range(8))
    assert error_lines(log) == ("ValueError: bad heads",)


def test_harmless_lines_name_no_error() -> None:
    """Counts of zero, names of options, levels below error. Then the last plain lines are shown."""
    log = (
        "INFO: errors=0, fatal=0\nDEBUG: an exception was handled\nWARNING: error_rate unknown\n"
        "summary: 0 errors\nloading\n\nfourth to last\nthird to last\nsecond to last\nlast\n"
    )
    assert error_lines(log) == ("fourth to last", "third to last", "second to last", "last")


def test_of_a_burst_of_errors_the_first_is_shown() -> None:
    """It is the cause of the others. Errors long before it are not."""
    lines = ["request 7 failed", *["all slots are idle"] * 30]
    lines += ["error: no such file", *(f"failed to load {n}" for n in range(9))]
    found = error_lines("\n".join(lines))
    expected = ("error: no such file", "failed to load 6", "failed to load 7", "failed to load 8")
    assert found == expected


def test_an_excerpt_is_bounded() -> None:
    """In lines and characters, whatever the log."""
    log = "\n".join(f"ValueError: {n} {'x' * 9999}" for n in range(50))
    found = error_lines(log)
    assert [line[:14] for line in found] == [f"ValueError: {n}" for n in range(46, 50)]
    assert max(map(len, found)) == LINE_CHARS


def test_an_empty_log_is_said_to_be_empty() -> None:
    """Also one of blank lines."""
    assert excerpt("\n \n") == "its log is empty"
