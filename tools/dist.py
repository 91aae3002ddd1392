"""Build every distribution and test the wheels: ``make dist``. Nothing is uploaded.

Sdists and wheels of ``core``, ``testing``, ``plugins/*/*`` and the meta-package go to ``dist/``.
The core has two wheels: one with the C extension and a pure one. Each is installed with all plugins
and the pinned requirements in a clean environment, where every plugin must load; the demo runs
once. The conformance kit is installed after that: a run does not need it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"


def main() -> None:
    """Build, check, install, run."""
    plugins = sorted(file.parent for file in ROOT.glob("plugins/*/*/pyproject.toml"))
    shutil.rmtree(DIST, ignore_errors=True)
    _build(ROOT / "core", pure=True)
    (pure,) = DIST.glob("*-py3-none-any.whl")
    _build(ROOT / "core")
    (compiled,) = DIST.glob("*-cp311-abi3-*.whl")
    for folder in (ROOT / "testing", *plugins, ROOT / "meta"):
        _build(folder)
    made = sorted(DIST.iterdir())
    _run(sys.executable, "-m", "twine", "check", "--strict", *map(str, made))
    wheels = [file for file in made if file.suffix == ".whl"]
    (kit,) = DIST.glob("tokenbench_testing-*.whl")
    others = [file for file in wheels if file not in (pure, compiled, kit)]
    for core, path in ((pure, "python"), (compiled, "compiled")):
        with tempfile.TemporaryDirectory() as scratch:
            _check(Path(scratch), [core, *others], kit, path)
    print(f"{len(wheels)} wheels and {len(made) - len(wheels)} sdists in {DIST.name}/")


def _build(folder: Path, *, pure: bool = False) -> None:
    command = (sys.executable, "-m", "build", "--no-isolation", "--outdir", str(DIST))
    _run(*command, str(folder), env={**os.environ, "TOKENBENCH_PURE": "1" if pure else ""})


def _check(scratch: Path, wheels: list[Path], kit: Path, path: str) -> None:
    """Install `wheels` away from the checkout and use them, then the kit; `path` is the expected
    request path.
    """
    venv.create(scratch / "env", with_pip=True)
    python, bench = (str(scratch / "env" / "bin" / name) for name in ("python", "bench"))
    pip = (python, "-m", "pip", "--disable-pip-version-check", "-qq", "install", "--no-deps")
    _run(*pip, "--require-hashes", "-r", str(ROOT / "requirements" / "run.txt"))
    _run(*pip, *map(str, wheels))
    checked = subprocess.run(
        [python, "-m", "pip", "check"], stdout=subprocess.PIPE, text=True, check=False
    )
    # Packages pinned without dependencies (`no-deps` in tools/lock.py) do not count.
    unmet = [line for line in checked.stdout.splitlines() if line.startswith("tokenbench")]
    if unmet:
        sys.exit("\n".join(unmet))
    code = "from tokenbench.load import native; print(native.path())"
    found = _run(python, "-c", code, cwd=scratch).strip()
    if found != path:
        sys.exit(f"{wheels[0].name} uses the request path '{found}', not '{path}'")
    rows = json.loads(_run(bench, "plugins", "list", "--check", "--json", cwd=scratch))
    if any(row["state"] != "ok" for row in rows) or len(rows) < len(wheels) - 1:
        sys.exit(f"some plugins do not load:\n{json.dumps(rows, indent=2)}")
    version = _run(bench, "--version", cwd=scratch).strip()
    print(f"{wheels[0].name}: {version}, {len(rows)} plugins load", flush=True)
    if path == "compiled":
        shutil.copy(ROOT / "suites" / "demo.yaml", scratch)
        subprocess.run([bench, "run", "demo.yaml"], cwd=scratch, check=True)
    _run(*pip, str(kit))
    print(_run(bench, "plugins", "check", "random", cwd=scratch).splitlines()[-1], flush=True)


def _run(*command: str, cwd: Path = ROOT, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command[:6])} ...\n{done.stdout}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
