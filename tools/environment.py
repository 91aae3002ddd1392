"""Make the virtual environment of the Makefile, unless it is there and whole.

Touches the stamp only when something was made, so that make repeats nothing. A distribution of ours
whose folder is gone (a plugin removed, or another branch) leaves the environment too.
"""

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlparse

OLDEST = (3, 11)


def main() -> None:
    """Make it, or leave it."""
    if sys.version_info < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        sys.exit(
            f"error: Python {wanted} or newer is needed, this is {sys.version.split()[0]}\n"
            "hint: name another: make PYTHON=python3.13 demo"
        )
    folder = Path(sys.argv[1])
    stamp = folder / ".python"
    # With its place: commands name the interpreter's path, so a moved environment does not work.
    me = f"{sys.version}\n{sys.base_prefix}\n{folder.resolve()}\n"
    if stamp.is_file() and stamp.read_text() == me and (folder / "bin" / "python").exists():
        _forget(gone(folder), folder)
        return
    print(f"making an environment with Python {sys.version.split()[0]} ...", flush=True)
    done = subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=False)
    if done.returncode != 0:
        sys.exit(
            "error: Python could not make a virtual environment\n"
            "hint: install its venv and pip parts (Debian: apt install python3-venv)"
        )
    stamp.write_text(me)


def gone(folder: Path) -> list[str]:
    """Our distributions that are installed from a folder which no longer holds one."""
    names = []
    for file in folder.glob("lib/python*/site-packages/tokenbench*.dist-info/direct_url.json"):
        source = Path(unquote(urlparse(json.loads(file.read_text())["url"]).path))
        if not (source / "pyproject.toml").is_file():
            names.append(file.parent.name.partition("-")[0])
    return sorted(names)


def _forget(names: list[str], folder: Path) -> None:
    if names:
        print("removing", *names, "...", flush=True)
        python = str(folder / "bin" / "python")
        subprocess.run([python, "-m", "pip", "-qq", "uninstall", "--yes", *names], check=True)


if __name__ == "__main__":
    main()
