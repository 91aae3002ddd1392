"""What docs/reference/atom-plans.md shows, besides plans/atom.md."""

from __future__ import annotations

LOAD = "--workload random:input_tokens=8192,output_tokens=1024 --concurrency 64"
_R1 = "--model deepseek-r1-0528 --weights"
_ATOM = "--engine atom:kv_cache_dtype=fp8"
PLANS = (
    ("DeepSeek-R1 in fp8 on 8 MI355X", f"{_ATOM} {_R1} fp8 --hardware mi355x:8 --tp 8"),
    (
        "DeepSeek-R1 in fp4 on 4 MI355X, with MTP",
        f"{_ATOM},speculation=mtp,speculative_tokens=1 {_R1} mxfp4 --hardware mi355x:4 --tp 4",
    ),
    (
        "gpt-oss-120b on an MI355X",
        f"{_ATOM} --model gpt-oss-120b --weights mxfp4 --hardware mi355x:1",
    ),
)
_LLAMA = "--model llama-3.3-70b --weights fp8"
REFUSED = (
    (
        "Experts over several hosts",
        f"--engine atom {_R1} fp8 --hardware mi355x:16 --tp 8 --dp 2 --ep 16",
    ),
    ("Ranks over several hosts", f"--engine atom {_R1} fp8 --hardware mi355x:16 --tp 8 --dp 2"),
    (
        "MTP without MTP heads",
        f"--engine atom:speculation=mtp,speculative_tokens=1 {_LLAMA} --hardware mi355x:1",
    ),
    ("Too little memory", f"--engine atom {_R1} fp8 --hardware mi300x:2 --tp 2"),
    (
        "Weights of a precision that it has no kernels for",
        f"--engine atom {_R1} nvfp4 --hardware mi355x:8 --tp 8",
    ),
    (
        "Expert parallelism without experts",
        f"--engine atom {_LLAMA} --hardware mi355x:8 --tp 8 --ep 8",
    ),
)
