"""Writes docs/reference/*-plans.md: what ``bench plan`` says of known deployments.

``make reference`` runs it. The plans are made from catalogues: no accelerator, no engine and no
network is needed. What differs from machine to machine is left out: the interpreter's path, load
workers, points.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import plans_atom
import plans_trtllm

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"


class Done(NamedTuple):
    """A finished `bench`."""

    code: int
    out: str
    err: str


class Page(NamedTuple):
    """A page: titles with the arguments of a plan, a suite or flags, and those that are refused.
    `load`: arguments that plans without a suite have besides; `tail`: a file of plans/ with the
    text at the end.
    """

    name: str
    head: str
    plans: tuple[tuple[str, str], ...]
    refused: tuple[tuple[str, str], ...]
    load: str = ""
    tail: str = ""


_MTP = "--engine vllm:speculation=mtp,speculative_tokens=1"
_LOAD = "--workload random:input_tokens=8192,output_tokens=1024 --concurrency 64"
_HEAD = """`bench plan` on a laptop: the accelerators' facts come from the catalogue. `python` is
the interpreter, an option of the engine; words in braces get their values at launch."""
VLLM = Page(
    name="vllm-plans.md",
    head=f"""# Plans of vLLM

{_HEAD}
[Measure vLLM](../how-to/vllm.md) explains them. The load of all plans: `{_LOAD}`.
""",
    load=_LOAD,
    tail="vllm.md",
    plans=(
        (
            "DeepSeek-R1 in fp8 on 8 H200, tensor parallel",
            "--engine vllm --model deepseek-r1-0528 --weights fp8 --hardware h200:8 --tp 8",
        ),
        (
            "DeepSeek-R1 in fp8 on 8 H200, data and expert parallel, with MTP",
            f"{_MTP} --model deepseek-r1-0528 --weights fp8 --hardware h200:8 --dp 8 --ep 8",
        ),
        (
            "Llama 3.3 70B in fp8 on 4 MI300X",
            "--engine vllm --model llama-3.3-70b --weights fp8 --hardware mi300x:4 --tp 4",
        ),
        (
            "Llama 3.3 70B in fp8 on 2 H100",
            "--engine vllm --model llama-3.3-70b --weights fp8 --hardware h100:2 --tp 2",
        ),
        (
            "gpt-oss-120b on an MI300X",
            "--engine vllm --model gpt-oss-120b --weights mxfp4 --hardware mi300x:1",
        ),
    ),
    refused=(
        (
            "Too little memory",
            "--engine vllm --model deepseek-r1-0528 --weights fp8 --hardware h200:4 --tp 4",
        ),
        (
            "Expert parallelism without experts",
            "--engine vllm --model llama-3.3-70b --weights fp8 --hardware h200:8 --tp 8 --ep 8",
        ),
        (
            "Attention heads that tensor parallelism does not divide",
            "--engine vllm --model llama-3.3-70b --weights fp8 --hardware h200:6 --tp 6",
        ),
        (
            "MTP without MTP heads",
            f"{_MTP} --model llama-3.3-70b --weights fp8 --hardware h200:4 --tp 4",
        ),
        (
            "fp4 weights on a chip that does not compute in fp4",
            "--engine vllm --model llama-3.3-70b --weights nvfp4 --hardware h200:4 --tp 4",
        ),
        (
            "More accelerators than a host has",
            (
                "--engine vllm --model deepseek-r1-0528 --weights fp8 --hardware h200:16 "
                "--dp 16 --ep 16"
            ),
        ),
    ),
)
_R1 = "--model deepseek-r1-0528"
_H200_MTP = (
    "--engine sglang:speculation=mtp,speculative_tokens=2,memory_share=0.82,"
    "chunked_prefill_tokens=32768,attention_backend=flashinfer,cuda_graph_max_batch=256,"
    "max_running_requests=256,trust_remote_code=true"
)
_B200 = (
    "--engine sglang:quantization=modelopt_fp4,kv_cache_dtype=fp8_e4m3,"
    "attention_backend=trtllm_mla,moe_backend=flashinfer_trtllm,memory_share=0.85,"
    "chunked_prefill_tokens=16384,cuda_graph_max_batch=256,max_running_requests=256,"
    "trust_remote_code=true"
)
_SGLANG_MTP = "--engine sglang:speculation=mtp,speculative_tokens=2"
SGLANG = Page(
    name="sglang-plans.md",
    head=f"""# Plans of SGLang

{_HEAD}
[Measure SGLang](../how-to/sglang.md) explains them.
[SGLang as InferenceX starts it](sglang-inferencex.md) compares three of them.
The load of all plans without a suite: `{_LOAD}`.
""",
    load=_LOAD,
    plans=(
        (
            "DeepSeek-R1 in fp8 on 8 H200, tensor parallel, with MTP",
            f"{_H200_MTP} {_R1} --weights fp8 --hardware h200:8 --tp 8",
        ),
        (
            "DeepSeek-R1 in NVFP4 on 4 B200, tensor parallel",
            f"{_B200} {_R1} --weights nvfp4 --hardware b200:4 --tp 4",
        ),
        ("DeepSeek-R1 in NVFP4 on 4 B200, attention DP", "suites/sglang-b200-dpa.yaml"),
        (
            "DeepSeek-R1 in fp8 on 24 MI355X, disaggregated with MoRI",
            "suites/sglang-mi355x-pd.yaml",
        ),
        ("Llama 3.3 70B in fp8 on 8 H100, two servers", "suites/sglang-replicas.yaml"),
        (
            "DeepSeek-R1 in fp8 on 16 H200, experts over two hosts",
            f"--engine sglang {_R1} --weights fp8 --hardware h200:16 --dp 16 --ep 16",
        ),
    ),
    refused=(
        ("Too little memory", f"--engine sglang {_R1} --weights fp8 --hardware h200:4 --tp 4"),
        (
            "Expert parallelism without experts",
            "--engine sglang --model llama-3.3-70b --weights fp8 --hardware h200:8 --tp 8 --ep 8",
        ),
        (
            "Attention heads that tensor parallelism does not divide",
            "--engine sglang --model llama-3.3-70b --weights fp8 --hardware h200:6 --tp 6",
        ),
        (
            "MTP without MTP heads",
            f"{_SGLANG_MTP} --model llama-3.3-70b --weights fp8 --hardware h200:4 --tp 4",
        ),
        (
            "fp4 weights on a chip that does not compute in fp4",
            f"--engine sglang {_R1} --weights nvfp4 --hardware h200:8 --tp 8",
        ),
        (
            "Data-parallel replicas over hosts",
            "--engine sglang --model llama-3.3-70b --weights fp8 --hardware h200:16 --dp 16",
        ),
        (
            "HiCache without the prefix cache",
            f"--engine sglang:kv_offload=hicache {_R1} --weights fp8 --hardware h200:8 --tp 8",
        ),
    ),
)
DYNAMO = Page(
    name="dynamo-plans.md",
    head=f"""# Plans with prefill and decode pools

{_HEAD}
[Measure disaggregated prefill and decode](../how-to/dynamo.md) explains them.
""",
    plans=(
        (
            "Dynamo: 4 prefill workers and a wide decode worker on 48 GB200",
            "suites/dynamo-gb200.yaml",
        ),
        ("Dynamo: prefill on H100, decode on H200", "suites/dynamo-mixed.yaml"),
        ("vLLM without Dynamo, on 8 H200", "suites/vllm-pd.yaml"),
    ),
    refused=(
        (
            "Workers of an engine that Dynamo has none of",
            (
                "--engine dynamo:worker=tgi --model llama-3.3-70b --weights fp8 "
                f"--hardware h200:4 --tp 4 {_LOAD}"
            ),
        ),
        (
            "Tensor parallelism over hosts",
            (
                "--engine dynamo --model llama-3.3-70b --weights fp8 "
                f"--hardware h200:16 --tp 16 {_LOAD}"
            ),
        ),
    ),
)
TRTLLM = Page(
    name="trtllm-plans.md",
    head=f"""# Plans of TensorRT-LLM

{_HEAD}
Lines after `# writes` are the file that goes with the command. TensorRT-LLM itself was not run:
flags and keys are checked against its source code. The load of plans without a suite:
`{plans_trtllm.LOAD}`.
""",
    plans=plans_trtllm.PLANS,
    refused=plans_trtllm.REFUSED,
    load=plans_trtllm.LOAD,
    tail="trtllm.md",
)
ATOM = Page(
    name="atom-plans.md",
    head=f"""# Plans of ATOM

{_HEAD}
ATOM itself was not run: flags are checked against its own parser. The load of all plans:
`{plans_atom.LOAD}`.
""",
    plans=plans_atom.PLANS,
    refused=plans_atom.REFUSED,
    load=plans_atom.LOAD,
    tail="atom.md",
)
LLMD = Page(
    name="llmd-plans.md",
    head=f"""# Plans of llm-d

{_HEAD}
None of them ran: the [engine's README](../../plugins/engines/llmd/README.md) says what was checked.
""",
    plans=(
        ("4 prefill servers and a decode server on 8 H200", "suites/llmd-pd.yaml"),
        (
            "One server that does both",
            (f"--engine llmd --model llama-3.3-70b --weights fp8 --hardware h200:4 --tp 4 {_LOAD}"),
        ),
    ),
    refused=(
        (
            "Experts over several hosts",
            (
                "--engine llmd --model deepseek-r1-0528 --weights fp8 --hardware h200:16 "
                f"--dp 16 --ep 16 {_LOAD}"
            ),
        ),
        (
            "A limit for a decider that has none",
            (
                "--engine llmd:non_cached_tokens=64 --model llama-3.3-70b --weights fp8 "
                f"--hardware h200:4 --tp 4 {_LOAD}"
            ),
        ),
    ),
)
PAGES = (VLLM, SGLANG, TRTLLM, ATOM, DYNAMO, LLMD)


def main() -> None:
    """Write the pages."""
    for page in PAGES:
        (REFERENCE / page.name).write_text(text(page, bench), encoding="utf-8")


def text(page: Page, bench: Callable[..., Any]) -> str:
    """The page as it should be. `bench` runs a command in the root folder, without the network, and
    returns its code, output and errors.

    Raises:
        ValueError: a plan was refused that should be made, or the other way round.
    """
    parts = [f"<!-- Generated by tools/plan_pages.py (make reference). -->\n\n{page.head}\n"]
    for title, args in page.plans:
        parts.append(f"## {title}\n\n")
        if args.endswith(".yaml"):
            suite = (ROOT / args).read_text(encoding="utf-8")
            parts.append(f"`{args}`:\n\n```yaml\n{suite}```\n\n")
        load = "" if args.endswith(".yaml") else f" {page.load}"
        for option in ("--commands", "--explain"):
            shown = "\n".join(_stable(_plan(bench, f"{args}{load} {option}", refused=False)))
            parts.append(_block(f"{args} {option}", shown))
    parts.append("## Impossible plans\n\nRefused while planning, with exit code 2.\n\n")
    for title, args in page.refused:
        shown = f"bench plan {args}\n{_plan(bench, f'{args} {page.load}', refused=True)}"
        parts.append(f"### {title}\n\n```text\n{shown.rstrip()}\n```\n\n")
    if page.tail:
        parts.append((ROOT / "tools" / "plans" / page.tail).read_text(encoding="utf-8"))
    return "".join(parts).rstrip() + "\n"


def _block(args: str, shown: str) -> str:
    return f"```console\n$ bench plan {args}\n{shown.rstrip()}\n```\n\n"


def _plan(bench: Callable[..., Any], args: str, *, refused: bool) -> str:
    done = bench("plan", *shlex.split(args))
    if (done.code == 2) is not refused or done.code not in (0, 2):
        raise ValueError(f"bench plan {args}: exit code {done.code}\n{done.err}")
    text: str = done.err if refused else done.out
    return text


def bench(*args: str) -> Done:
    """`bench` as a process."""
    done = subprocess.run(
        [sys.executable, "-m", "tokenbench.cli.main", *args],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def _stable(shown: str) -> Iterator[str]:
    for line in shown.splitlines():
        if line.startswith(("  point ", "load workers ")):
            return
        yield line.replace(sys.executable, "python")


if __name__ == "__main__":
    main()
