"""What docs/reference/trtllm-plans.md shows, besides plans/trtllm.md."""

from __future__ import annotations

LOAD = "--workload random:input_tokens=8192,output_tokens=1024 --concurrency 32"
_R1 = "--model deepseek-r1-0528 --weights fp8 --hardware h200:8"
PLANS = (
    (
        "DeepSeek-R1 in fp8 on 8 H200, tensor and expert parallel",
        f"--engine trtllm:kv_cache_dtype=fp8,free_gpu_memory_fraction=0.75 {_R1} --tp 8 --ep 8",
    ),
    ("DeepSeek-R1 in fp4 on 8 B200, attention DP, with MTP", "suites/trtllm-b200.yaml"),
    (
        "gpt-oss-120b on 4 B200",
        (
            "--engine trtllm:kv_cache_dtype=fp8,free_gpu_memory_fraction=0.85 "
            "--model gpt-oss-120b --weights mxfp4 --hardware b200:4 --tp 4"
        ),
    ),
    (
        "Llama 3.3 70B in fp8 on 4 H100",
        "--engine trtllm --model llama-3.3-70b --weights fp8 --hardware h100:4 --tp 4",
    ),
    (
        "Dynamo: 3 prefill workers and a wide decode worker with MTP on 44 GB200",
        "suites/dynamo-trtllm-gb200.yaml",
    ),
)
_MTP = "--engine trtllm:speculation=mtp,speculative_tokens=1"
_LLAMA = "--model llama-3.3-70b --weights fp8"
REFUSED = (
    (
        "Too little memory",
        "--engine trtllm --model deepseek-r1-0528 --weights fp8 --hardware h200:4 --tp 4",
    ),
    (
        "Expert parallelism without experts",
        f"--engine trtllm {_LLAMA} --hardware h200:8 --tp 8 --ep 8",
    ),
    (
        "Expert parallelism that does not divide the ranks",
        f"--engine trtllm {_R1} --tp 8 --ep 3",
    ),
    (
        "Attention heads that tensor parallelism does not divide",
        f"--engine trtllm {_LLAMA} --hardware h200:6 --tp 6",
    ),
    ("MTP without MTP heads", f"{_MTP} {_LLAMA} --hardware h200:4 --tp 4"),
    (
        "fp4 weights on a chip that does not compute in fp4",
        "--engine trtllm --model llama-3.3-70b --weights nvfp4 --hardware h200:4 --tp 4",
    ),
    (
        "Several replicas of the model in one server",
        f"--engine trtllm {_LLAMA} --hardware h200:8 --tp 4 --dp 2",
    ),
)
