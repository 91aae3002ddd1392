"""Build every distribution and run the demo from the wheels: ``make dist``.

Sdists and wheels of `core`, every `plugins/*/*` and the meta-package go to ``dist/``; metadata
is checked; the wheels alone (no checkout) are installed beside the pinned requirements; the
meta-package's needs are met by them; every plugin loads; the demo runs. Nothing is uploaded.
"""

from __future__ import annotations

import json
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
    plugins = sorted(file.parent for file in ROOT.glob("plugins/*/*/pyproject.toml"))
    folders = [ROOT / "core", *plugins, ROOT / "meta"]
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
    checked = subprocess.run(
        [python, "-m", "pip", "check"], capture_output=True, text=True, check=False
    )
    # A package pinned without what it depends on (see `no-deps` in tools/lock.py) is no surprise.
    unmet = [line for line in checked.stdout.splitlines() if line.startswith("tokenbench")]
    if unmet:
        sys.exit("\n".join(unmet))
    bench = str(scratch / "env" / "bin" / "bench")
    rows = json.loads(_run(bench, "plugins", "list", "--check", "--json", cwd=scratch))
    if any(row["state"] != "ok" for row in rows) or len(rows) < len(wheels) - 1:
        sys.exit(f"not every wheel holds a plugin that loads:\n{json.dumps(rows, indent=2)}")
    print(f"{len(rows)} plugins load; the demo:", flush=True)
    shutil.copy(ROOT / "suites" / "demo.yaml", scratch)
    subprocess.run([bench, "run", "demo.yaml"], cwd=scratch, check=True)


def _run(*command: str, cwd: Path = ROOT) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[:6])} ...\n{done.stdout}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
