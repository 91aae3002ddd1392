"""Build every distribution and try the wheels in a clean environment: ``make dist``.

Sdists and wheels of `core` and every `plugins/*/*` go to ``dist/``; their metadata is checked; the
wheels alone (no checkout) are installed beside the pinned requirements, every plugin is loaded, and
a plan is made. Nothing is uploaded.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"


def main() -> None:
    """Build, check, install, try."""
    folders = [ROOT / "core", *sorted(p.parent for p in ROOT.glob("plugins/*/*/pyproject.toml"))]
    shutil.rmtree(DIST, ignore_errors=True)
    for folder in folders:
        _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(DIST), str(folder))
    made = sorted(DIST.iterdir())
    _run(sys.executable, "-m", "twine", "check", "--strict", *map(str, made))
    wheels = [str(file) for file in made if file.suffix == ".whl"]
    with tempfile.TemporaryDirectory() as scratch:
        _try(Path(scratch), wheels)
    print(f"{len(wheels)} wheels and {len(made) - len(wheels)} sdists in {DIST.name}/")


def _try(scratch: Path, wheels: list[str]) -> None:
    """Install the wheels where no checkout is, and use them."""
    venv.create(scratch / "env", with_pip=True)
    python = str(scratch / "env" / "bin" / "python")
    pip = (python, "-m", "pip", "--disable-pip-version-check", "-qq", "install", "--no-deps")
    _run(*pip, "--require-hashes", "-r", str(ROOT / "requirements" / "run.txt"))
    _run(*pip, *wheels)
    bench = str(scratch / "env" / "bin" / "bench")
    listed = _run(bench, "plugins", "--check", cwd=scratch)
    broken = [line for line in listed.splitlines()[1:] if not line.endswith(" ok")]
    if broken or len(listed.splitlines()) != len(wheels):
        sys.exit(f"not every wheel holds a plugin that loads:\n{listed}")
    print(_run(bench, "plan", "--engine", "llamacpp", "--model", "smollm2", cwd=scratch))


def _run(*command: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[:6])} ...\n{done.stdout}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
